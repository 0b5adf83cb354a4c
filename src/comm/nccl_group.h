// Ranks whose tensors lie on NVIDIA GPUs, one rank a GPU.
#pragma once

#include <memory>

#include "strake/comm/group.h"

namespace strake {

// Collectives of bytes in the memory of this thread's current CUDA device: NCCL carries them out in
// the thread's stream (cudaStreamPerThread), where kernels run too, so that they only wait for what
// comes before them there. all_gather and all_to_all return once they are queued; what they do can
// be captured in a CUDA graph. Everything else is the host's and goes through `control`, which
// starts NCCL, too, and must outlive the group. Throws Error(kCommunication) when a rank does not
// start within the deadline.
std::unique_ptr<Group> make_nccl_group(Group& control, const GroupOptions& options);

}  // namespace strake
