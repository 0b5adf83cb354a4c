// Waiting together for something outside the run, such as a user's next line.
#pragma once

#include <chrono>
#include <functional>

#include "strake/comm/group.h"

namespace strake {

// Rank 0 calls `ready(limit)`, which waits for `limit` at most, until it returns true; then all
// ranks return. However long that takes it is no silence: the ranks hear of each other several
// times per deadline of `options`, which are the group's, and a rank that fails is found.
void await_on_rank_zero(Group& group, const GroupOptions& options,
                        const std::function<bool(std::chrono::milliseconds limit)>& ready);

}  // namespace strake
