// The table of communicators, and the one function that picks from it.
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "strake/comm/group.h"

namespace strake {

struct Communicator {
  std::string_view name;
  bool (*applies)();  // whether this process was started in its way
  std::unique_ptr<Group> (*make)(const GroupOptions& options);
};

// In the order in which they are tried.
std::span<const Communicator> communicators();

// The group of all ranks of this run. Throws Error(kUnsupported) when mpirun started several ranks
// and this build has no MPI.
std::unique_ptr<Group> make_group(const GroupOptions& options);

// What moves tensors between the ranks' devices, started through `control`; nothing where `control`
// does that itself: on CPUs, and for one rank. Throws Error(kUnsupported) where this build cannot.
std::unique_ptr<Group> make_tensor_group(std::string_view device, Group& control);

}  // namespace strake
