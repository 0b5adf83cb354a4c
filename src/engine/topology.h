// The processors of this machine, and where they lie.
#pragma once

#include <span>
#include <vector>

namespace strake {

// A processor as the operating system counts them: a core, or one of a core's hardware threads.
struct Cpu {
  int number;  // the operating system's
  int node;    // NUMA node
  int core;    // physical core
  friend bool operator==(const Cpu&, const Cpu&) = default;
};

// Those that the calling thread may use, neighbours together: in the order of package, NUMA node,
// shared cache and core. What the system does not tell is taken for one node, and a core each.
// Throws Error(kSystem) when they cannot be listed at all.
std::vector<Cpu> usable_cpus();

// Keeps the calling thread, and the threads that it will start, on these processors. Returns
// whether the system did so: some containers refuse.
[[nodiscard]] bool bind_this_thread(std::span<const int> cpus);

}  // namespace strake
