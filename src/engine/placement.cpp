#include "engine/placement.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/fail.h"
#include "base/hash.h"
#include "comm/gather.h"
#include "comm/host.h"

namespace strake {
namespace {

using Core = std::span<const Cpu>;    // one core's processors
using Slice = std::span<const Core>;  // consecutive cores

std::vector<Core> divide_into_cores(std::span<const Cpu> cpus) {
  std::vector<Core> cores;
  for (size_t begin = 0, end = 0; begin < cpus.size(); begin = end) {
    while (end < cpus.size() && cpus[end].core == cpus[begin].core) ++end;
    cores.push_back(cpus.subspan(begin, end - begin));
  }
  return cores;
}

std::vector<Core> divide_into_cpus(std::span<const Cpu> cpus) {
  std::vector<Core> each;
  for (size_t i = 0; i < cpus.size(); ++i) each.push_back(cpus.subspan(i, 1));
  return each;
}

// The parts of a slice that lie on one node.
std::vector<Slice> divide_into_nodes(Slice cores) {
  std::vector<Slice> nodes;
  for (size_t begin = 0, end = 0; begin < cores.size(); begin = end) {
    while (end < cores.size() && cores[end][0].node == cores[begin][0].node) ++end;
    nodes.push_back(cores.subspan(begin, end - begin));
  }
  return nodes;
}

std::vector<Slice> divide_equally(Slice cores, size_t ranks) {
  std::vector<Slice> slices;
  for (size_t rank = 0; rank < ranks; ++rank) {
    const size_t begin = cores.size() * rank / ranks;
    slices.push_back(cores.subspan(begin, cores.size() * (rank + 1) / ranks - begin));
  }
  return slices;
}

// Slices of which each has an equal part of the nodes, whatever cores these have.
std::vector<Slice> divide_by_nodes(Slice cores, size_t ranks) {
  const std::vector<Slice> nodes = divide_into_nodes(cores);
  const auto cut = [&](size_t rank) {
    const size_t node = nodes.size() * rank / ranks;
    if (node == nodes.size()) return cores.size();
    const size_t first = static_cast<size_t>(nodes[node].data() - cores.data());
    return first + nodes[node].size() * (nodes.size() * rank % ranks) / ranks;
  };
  std::vector<Slice> slices;
  for (size_t rank = 0; rank < ranks; ++rank)
    slices.push_back(cores.subspan(cut(rank), cut(rank + 1) - cut(rank)));
  return slices;
}

// By nodes, unless that starves a rank: where few of a node's cores may be used.
std::vector<Slice> divide(Slice cores, size_t ranks) {
  std::vector<Slice> slices = divide_by_nodes(cores, ranks);
  for (const Slice slice : slices)
    if (2 * slice.size() * ranks < cores.size()) return divide_equally(cores, ranks);
  return slices;
}

size_t count_cpus(Slice cores) {
  size_t count = 0;
  for (const Core& core : cores) count += core.size();
  return count;
}

// The first processor of each core, then the second: `count` of them, on one node if it has as many
// cores.
std::vector<int> choose(Slice slice, size_t count) {
  for (const Slice node : divide_into_nodes(slice))
    if (node.size() >= count) {
      slice = node;
      break;
    }
  std::vector<int> chosen;
  for (size_t sibling = 0; chosen.size() < count; ++sibling)
    for (const Core& core : slice)
      if (sibling < core.size() && chosen.size() < count) chosen.push_back(core[sibling].number);
  std::ranges::sort(chosen);
  return chosen;
}

std::vector<int> numbers_of(std::span<const Cpu> cpus) {
  std::vector<int> numbers;
  for (const Cpu& cpu : cpus) numbers.push_back(cpu.number);
  std::ranges::sort(numbers);
  return numbers;
}

Placement find_place(Group& group, int threads) {
  struct Wish {
    uint64_t host;
    uint64_t cpus;
    int64_t threads;
  };
  const std::vector<Cpu> usable = usable_cpus();
  const std::vector<int> all = numbers_of(usable);
  const Wish mine{hash_host(), hash_values(std::span(all)), threads};
  std::vector<int> peers;  // what the ranks want that share these processors
  int index = 0;
  bool were_bound = false;
  const std::vector<Wish> wishes = gather_values(group, mine);
  for (int rank = 0; rank < group.size(); ++rank) {
    const Wish& wish = wishes[static_cast<size_t>(rank)];
    if (wish.host != mine.host) continue;
    if (wish.cpus != mine.cpus) {
      were_bound = true;
      continue;
    }
    if (rank == group.rank()) index = static_cast<int>(peers.size());
    peers.push_back(static_cast<int>(wish.threads));
  }
  Placement placement = place(usable, peers, index);
  if (were_bound) placement.cpus = all;
  return placement;
}

}  // namespace

Placement place(std::span<const Cpu> cpus, std::span<const int> threads, int rank) {
  const size_t ranks = threads.size();
  const auto own = static_cast<size_t>(rank);
  const std::vector<Core> cores = divide_into_cores(cpus);
  const std::vector<Core> units = cores.size() >= ranks ? cores : divide_into_cpus(cpus);
  if (units.size() < ranks) return {std::max(threads[own], 1), numbers_of(cpus)};
  const std::vector<Slice> slices = divide(units, ranks);
  const int wanted = threads[own] > 0 ? threads[own] : static_cast<int>(slices[own].size());
  for (size_t i = 0; i < ranks; ++i)
    if (threads[i] > static_cast<int>(count_cpus(slices[i]))) return {wanted, numbers_of(cpus)};
  return {wanted, choose(slices[own], static_cast<size_t>(wanted))};
}

std::vector<Placement> place_ranks(Group& group, int threads, PlacementPolicy policy) {
  if (threads < 0) fail(ErrorKind::kUsage, "threads: at least 0 expected, found {}", threads);
  Placement mine{threads, {}};
  if (policy == PlacementPolicy::kAuto || threads == 0) mine = find_place(group, threads);
  if (policy == PlacementPolicy::kNone || !bind_this_thread(mine.cpus)) mine.cpus.clear();
  std::vector<int> numbers = mine.cpus;
  numbers.push_back(mine.threads);
  std::vector<Placement> placements;
  for (std::vector<int>& of_rank : gather_lists(group, numbers)) {
    const int count = of_rank.back();
    of_rank.pop_back();
    placements.push_back({count, std::move(of_rank)});
  }
  return placements;
}

std::string format_cpus(std::span<const int> cpus) {
  std::string text;
  for (size_t begin = 0, end = 0; begin < cpus.size(); begin = end) {
    for (++end; end < cpus.size() && cpus[end] == cpus[end - 1] + 1;) ++end;
    text += fmt::format("{}{}", begin == 0 ? "" : ",", cpus[begin]);
    if (end - begin > 1) text += fmt::format("-{}", cpus[end - 1]);
  }
  return text;
}

}  // namespace strake
