// The instruction path that all ranks of a run compute with: replicated values have the same bits
// within one path alone.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "strake/comm/group.h"

namespace strake {

// Of each rank's paths, the fastest first, the one to take: `forced`, or where it is empty the
// first of rank 0's that all ranks have. Throws Error(kUnsupported) that names the path, the rank
// that lacks it and what that rank has.
std::string choose_path(std::span<const std::vector<std::string>> paths_by_rank,
                        std::string_view forced);

// Exchanges what the ranks' machines have and chooses, alike on every rank.
std::string agree_on_path(Group& group, std::string_view device, std::string_view forced);

}  // namespace strake
