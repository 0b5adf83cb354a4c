// The GPU that each rank of a run has for itself.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "strake/comm/group.h"

namespace strake {

// Of the devices that each rank sees (backend_devices()), the index of the one that it takes: the
// first that no rank before it has taken, 0 where it sees none. So ranks of one host divide its
// GPUs, whether they see all or were started each with its own. Throws Error(kUnsupported) where
// none is left for a rank.
std::vector<int> choose_devices(std::span<const std::vector<std::string>> devices_by_rank,
                                std::string_view device);

// Exchanges what the ranks see and chooses, alike on every rank -> the index of this one's.
int agree_on_device(Group& group, std::string_view device);

// Whether so many ranks can compute on this machine, for a process that only starts them: nothing
// of it stays on a GPU. Throws what agree_on_path() and agree_on_device() would.
void require_machine(std::string_view device, std::string_view path, int ranks);

}  // namespace strake
