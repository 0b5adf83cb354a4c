#include "engine/placement.h"

#include <gmock/gmock.h>
#include <sched.h>

#include <atomic>
#include <cstdlib>
#include <numeric>
#include <set>
#include <string>
#include <thread>

#include "strake/base/thread_pool.h"
#include "strake/comm/thread_group.h"

namespace strake {
namespace {

// Equal nodes. As Linux counts: first one processor of every core, then the second of each.
std::vector<Cpu> machine(int nodes, int cores, int siblings) {
  std::vector<Cpu> cpus;
  for (int node = 0; node < nodes; ++node)
    for (int core = node * cores; core < (node + 1) * cores; ++core)
      for (int sibling = 0; sibling < siblings; ++sibling)
        cpus.push_back({core + sibling * nodes * cores, node, core});
  return cpus;
}

std::vector<Cpu> without(std::vector<Cpu> cpus, const std::set<int>& numbers) {
  std::erase_if(cpus, [&](const Cpu& cpu) { return numbers.contains(cpu.number); });
  return cpus;
}

// "8: 0-7" for each of `ranks` that want as many threads.
std::vector<std::string> places(const std::vector<Cpu>& cpus, int ranks, int threads) {
  std::vector<std::string> texts;
  for (int rank = 0; rank < ranks; ++rank) {
    const Placement found =
        place(cpus, std::vector<int>(static_cast<size_t>(ranks), threads), rank);
    texts.push_back(std::to_string(found.threads) + ": " + format_cpus(found.cpus));
  }
  return texts;
}

using Places = std::vector<std::string>;

// Two packages of two nodes of eight cores.
const std::vector<Cpu> kServer = machine(4, 8, 2);

TEST(Place, ARankGetsItsPartOfThePhysicalCores) {
  EXPECT_EQ(places(kServer, 1, 0), (Places{"32: 0-31"}));
  EXPECT_EQ(places(kServer, 2, 0), (Places{"16: 0-15", "16: 16-31"}));
  EXPECT_EQ(places(kServer, 3, 0), (Places{"10: 0-9", "11: 10-20", "11: 21-31"}));
  EXPECT_EQ(places(kServer, 4, 0), (Places{"8: 0-7", "8: 8-15", "8: 16-23", "8: 24-31"}));
  EXPECT_EQ(places(kServer, 8, 0), (Places{"4: 0-3", "4: 4-7", "4: 8-11", "4: 12-15", "4: 16-19",
                                           "4: 20-23", "4: 24-27", "4: 28-31"}));
}

TEST(Place, FewerThreadsThanCoresStayOnOneNode) {
  EXPECT_EQ(places(kServer, 1, 8), (Places{"8: 0-7"}));
  EXPECT_EQ(places(kServer, 2, 4), (Places{"4: 0-3", "4: 16-19"}));
  EXPECT_EQ(places(kServer, 2, 9), (Places{"9: 0-8", "9: 16-24"})) << "no node has nine";
  // The second rank has cores 5 to 9, of which no node has four.
  EXPECT_EQ(places(machine(4, 4, 1), 3, 4), (Places{"4: 0-3", "4: 5-8", "4: 12-15"}));
  EXPECT_EQ(places(kServer, 3, 6), (Places{"6: 0-5", "6: 10-15", "6: 24-29"}));
}

TEST(Place, ThreadsShareCoresOnlyWhereCoresAreFewer) {
  EXPECT_EQ(places(kServer, 4, 10)[1], "10: 8-15,40-41");
  EXPECT_EQ(places(kServer, 4, 16)[3], "16: 24-31,56-63");
  EXPECT_EQ(places(machine(1, 2, 2), 4, 0), (Places{"1: 0", "1: 2", "1: 1", "1: 3"}));
}

TEST(Place, TooManyThreadsAreNotBound) {
  EXPECT_EQ(places(kServer, 4, 17), Places(4, "17: 0-63"));
  EXPECT_EQ(places(machine(1, 2, 1), 3, 0), Places(3, "1: 0-1"));
  EXPECT_EQ(places(machine(1, 1, 1), 1, 0), (Places{"1: 0"}));
  EXPECT_EQ(places(machine(1, 1, 1), 1, 2), (Places{"2: 0"}));
  EXPECT_EQ(places(machine(1, 1, 1), 2, 0), Places(2, "1: 0"));
  // Six processors for six threads, but the first rank's core has two.
  EXPECT_EQ(places(machine(1, 3, 2), 2, 3), Places(2, "3: 0-5"));
}

TEST(Place, HolesMoveNoRankToAnotherNode) {
  EXPECT_EQ(places(without(kServer, {31, 63}), 4, 0),
            (Places{"8: 0-7", "8: 8-15", "8: 16-23", "7: 24-30"}));
  EXPECT_EQ(places(without(kServer, {0}), 4, 0)[0], "8: 1-7,32") << "the core has another";
  EXPECT_EQ(places(without(machine(2, 4, 1), {1, 2}), 2, 0), (Places{"2: 0,3", "4: 4-7"}));
}

TEST(Place, ANodeWithFewUsableCoresStarvesNoRank) {
  EXPECT_EQ(places(without(machine(2, 8, 1), {9, 10, 11, 12, 13, 14, 15}), 2, 0),
            (Places{"4: 0-3", "5: 4-8"}));
  EXPECT_EQ(places(without(machine(2, 4, 1), {5, 6, 7}), 4, 0),
            (Places{"1: 0", "1: 1", "1: 2", "2: 3-4"}));
}

TEST(Place, RanksMayWantDifferentNumbersOfThreads) {
  const std::vector<int> threads{3, 0, 40};
  EXPECT_EQ(place(kServer, threads, 0).cpus.size(), 64u) << "the third has too many";
  EXPECT_EQ(place(kServer, threads, 1).threads, 11);
  EXPECT_EQ(place(kServer, threads, 2).threads, 40);
}

TEST(Place, NoProcessorIsGivenTwice) {
  for (const auto& cpus : {kServer, without(kServer, {3, 35, 40, 41}), machine(1, 17, 1)})
    for (int ranks = 1; ranks <= 16; ++ranks) {
      const std::vector<int> threads(static_cast<size_t>(ranks), 0);
      std::set<int> taken;
      for (int rank = 0; rank < ranks; ++rank) {
        const Placement placement = place(cpus, threads, rank);
        EXPECT_EQ(placement.cpus.size(), static_cast<size_t>(placement.threads));
        for (const int cpu : placement.cpus) EXPECT_TRUE(taken.insert(cpu).second) << cpu;
      }
    }
}

TEST(FormatCpus, WritesRanges) {
  EXPECT_EQ(format_cpus({}), "");
  EXPECT_EQ(format_cpus(std::vector{5}), "5");
  EXPECT_EQ(format_cpus(std::vector{0, 1, 2, 7, 9, 10}), "0-2,7,9-10");
}

std::vector<int> numbers_of(const std::vector<Cpu>& cpus) {
  std::vector<int> numbers;
  for (const Cpu& cpu : cpus) numbers.push_back(cpu.number);
  std::ranges::sort(numbers);
  return numbers;
}

TEST(Topology, ListsNeighboursTogether) {
  ::setenv("HWLOC_SYNTHETIC", "pack:2 numa:2 l3:2 core:2 pu:2", 1);
  const std::vector<Cpu> cpus = usable_cpus();
  ::unsetenv("HWLOC_SYNTHETIC");
  ASSERT_EQ(cpus.size(), 32u);
  for (int i = 0; i < 32; ++i) EXPECT_EQ(cpus[static_cast<size_t>(i)], (Cpu{i, i / 8, i / 2})) << i;
}

TEST(Topology, ASystemThatTellsNothingHasOneNode) {
  ::setenv("HWLOC_COMPONENTS", "no_os,stop", 1);
  const std::vector<Cpu> cpus = usable_cpus();
  ::unsetenv("HWLOC_COMPONENTS");
  const std::vector<Cpu> known = usable_cpus();
  EXPECT_EQ(numbers_of(cpus), numbers_of(known));
  for (const Cpu& cpu : cpus) EXPECT_EQ(cpu.node, 0);
}

TEST(Topology, ThreadsInheritWhereTheirMakerRuns) {
  const int cpu = usable_cpus().back().number;
  std::thread([cpu] {
    ASSERT_TRUE(bind_this_thread(std::vector{cpu}));
    EXPECT_EQ(numbers_of(usable_cpus()), std::vector{cpu});
    ThreadPool pool(3);
    std::atomic<int> elsewhere = 0;
    for (int call = 0; call < 100; ++call)
      pool.for_ranges(6, [&](int64_t, int64_t) { elsewhere += ::sched_getcpu() != cpu; });
    EXPECT_EQ(elsewhere, 0);
  }).join();
  EXPECT_GE(usable_cpus().size(), 1u);
}

TEST(Topology, RefusesProcessorsThatAreNotThere) {
  std::thread([] { EXPECT_FALSE(bind_this_thread(std::vector{100'000})); }).join();
}

TEST(PlaceRanks, KeepsEachRankToItsOwn) {
  const std::vector<Cpu> all = usable_cpus();
  run_ranks(2, {}, [&](Group& group) {
    const auto placements = place_ranks(group, 0, PlacementPolicy::kAuto);
    ASSERT_EQ(placements.size(), 2u);
    for (int rank = 0; rank < 2; ++rank)
      EXPECT_EQ(placements[static_cast<size_t>(rank)], place(all, std::vector{0, 0}, rank));
    EXPECT_EQ(numbers_of(usable_cpus()), placements[static_cast<size_t>(group.rank())].cpus);
  });
}

TEST(PlaceRanks, LeavesThreadsWhereTheyAreUnlessAsked) {
  const std::vector<Cpu> all = usable_cpus();
  run_ranks(2, {}, [&](Group& group) {
    const int cores = place(all, std::vector{0, 0}, group.rank()).threads;
    const auto divided = place_ranks(group, 0, PlacementPolicy::kNone);
    EXPECT_EQ(divided[static_cast<size_t>(group.rank())], (Placement{cores, {}}));
    EXPECT_EQ(place_ranks(group, 3, PlacementPolicy::kNone)[1], (Placement{3, {}}));
    EXPECT_EQ(usable_cpus(), all);
  });
}

// As ranks of the user's own mpirun are.
TEST(PlaceRanks, RanksThatWereBoundApartStayThere) {
  const std::vector<Cpu> all = usable_cpus();
  if (all.size() < 2) GTEST_SKIP() << "needs two processors";
  const int own = all.front().number;
  run_ranks(3, {}, [&](Group& group) {
    const bool bound = group.rank() != 0 || bind_this_thread(std::vector{own});
    ASSERT_TRUE(bound);
    const auto placements = place_ranks(group, 1, PlacementPolicy::kAuto);
    EXPECT_EQ(placements[0], (Placement{1, {own}}));
    for (const size_t rank : {1, 2}) EXPECT_EQ(placements[rank], (Placement{1, numbers_of(all)}));
  });
}

}  // namespace
}  // namespace strake
