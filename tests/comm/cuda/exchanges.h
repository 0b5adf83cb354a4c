// Direct exchanges between GPUs beside NCCL's. A rank's GPU is the one of its number.
#pragma once

#include <string>

#include "strake/comm/group.h"

namespace strake {

// Each is called by all ranks together, and throws Error(kInternal) where bits are not NCCL's, or
// nothing went directly.
void check_gathers(Group& control);
void check_sums(Group& control);
// Recorded, with other values each time, and ranks that come late.
void check_replays(Group& control);

// Rank 0 runs recorded exchanges that no other rank takes part in, and returns what its group says
// of that, each time it is asked. Other ranks return at once.
std::string exchange_alone(Group& control);

}  // namespace strake
