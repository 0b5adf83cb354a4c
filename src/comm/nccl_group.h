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
// captured in a CUDA graph. Everything else is the host's and goes through `control`, which starts
// NCCL, too, has the deadline, and must outlive the group. await() finds that a GPU does not finish
// after three quarters of the deadline, and in the rest of it who is silent.
//
// NCCL starts and ends on all ranks together and cannot be interrupted: where that takes longer
// than the deadline (to start: than 60 s at least), the run ends. Graphs that hold collectives must
// be gone before the group. When the group goes because of an exception, it leaves NCCL and the GPU
// as they are: the process must then end.
std::unique_ptr<Group> make_nccl_group(Group& control, ShortMessages by = ShortMessages::kDirect);

}  // namespace strake
