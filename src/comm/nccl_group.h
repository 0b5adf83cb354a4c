// Ranks whose tensors lie on NVIDIA GPUs, one rank a GPU.
#pragma once

#include <memory>

#include "strake/comm/group.h"

namespace strake {

// What carries short messages between GPUs of one host that reach each other's memory. Elsewhere,
// and for all other messages, it is NCCL.
enum class ShortMessages { kDirect, kNccl };

// Collectives of bytes in the memory of this thread's current CUDA device, in the thread's stream
// (cudaStreamPerThread), where kernels run too, so that they only wait for what comes before them
// there. all_gather, gather_sum and all_to_all return once they are queued; what they do can be
// captured in a CUDA graph. A rank that does not come is found by await(). Everything else is the
// host's and goes through `control`, which starts NCCL, too, and must outlive the group. Throws
// Error(kCommunication) when a rank does not start within the deadline.
std::unique_ptr<Group> make_nccl_group(Group& control, const GroupOptions& options,
                                       ShortMessages by = ShortMessages::kDirect);

}  // namespace strake
