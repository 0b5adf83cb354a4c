// Where the ranks of a host and their threads run.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "engine/topology.h"
#include "strake/comm/group.h"

namespace strake {

// kAuto keeps each rank on processors of its own, near each other; kNone leaves that to the system.
enum class PlacementPolicy { kNone, kAuto };

// Where one rank's threads run: all of them on any of these processors, since one that another
// program needs must not hold up a thread while the next is free.
struct Placement {
  int threads;
  std::vector<int> cpus;  // the system's numbers, ascending; empty: left to the system
  friend bool operator==(const Placement&, const Placement&) = default;
};

// The placement of one of the ranks that share `cpus`, which are in the order of usable_cpus().
// `threads` are what each of these ranks wants, 0: as many as it gets physical cores. Each rank
// gets consecutive cores: whole NUMA nodes, or equal parts of one, where the counts allow. Its
// threads have a core each, on one node where they fit, and share cores only where those are fewer.
// Where some rank has more threads than processors all get all: the system then divides better.
Placement place(std::span<const Cpu> cpus, std::span<const int> threads, int rank);

// Finds which ranks share a host, places them, and keeps the calling thread to its place: threads
// that it starts later run there too, and what they write first lies in the memory there. Ranks
// that were started each with processors of its own keep to those. Returns every rank's. Called by
// all ranks of the group with the same policy.
std::vector<Placement> place_ranks(Group& group, int threads, PlacementPolicy policy);

// As taskset takes them: "0-7,16"; "" for none.
std::string format_cpus(std::span<const int> cpus);

}  // namespace strake
