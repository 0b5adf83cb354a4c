// Ranks as threads of one process: for tests, and for programs that embed several ranks.
#pragma once

#include <functional>

#include "strake/comm/group.h"

namespace strake {

// Runs body(group) once for each of `ranks` ranks, each in a thread of its own, and returns when
// all have ended. When a rank throws, aborts or returns while others wait for it, the others'
// collectives throw, and the first exception (the cause, not its echoes) is thrown again here.
void run_ranks(int ranks, const GroupOptions& options, const std::function<void(Group&)>& body);

}  // namespace strake
