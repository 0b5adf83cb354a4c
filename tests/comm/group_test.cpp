#include "strake/comm/group.h"

#include <gmock/gmock.h>

#include <cstdlib>

#include "comm/communicators.h"
#include "launch.h"
#include "strake/base/error.h"
#include "strake/comm/mpi_group.h"
#include "strake/comm/thread_group.h"

namespace strake {
namespace {

using testing::HasSubstr;

std::string message_of(const std::function<void()>& body, ErrorKind kind) {
  try {
    body();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind);
    return error.what();
  }
  return "no error";
}

TEST(SoloGroup, IsTheIdentity) {
  const auto group = make_solo_group();
  EXPECT_EQ(group->rank(), 0);
  EXPECT_EQ(group->size(), 1);
  const std::vector<std::byte> mine{std::byte{1}, std::byte{2}};
  std::vector<std::byte> all(2);
  const std::vector<int64_t> counts{2};
  group->all_gather(mine, all, counts);
  EXPECT_EQ(all, mine);
  std::vector<std::byte> received(2);
  group->all_to_all(mine, counts, received, counts);
  EXPECT_EQ(received, mine);
  group->broadcast(all, 0);
  EXPECT_EQ(all, mine);
  group->barrier();
  group->check_step(5);
}

TEST(SoloGroup, WaitsForItsDeviceUntilTheDeadline) {
  const auto group = make_solo_group({.deadline = std::chrono::milliseconds(20)});
  int polls = 0;
  group->await([&] { return ++polls == 1000; });
  EXPECT_EQ(polls, 1000);
  EXPECT_EQ(message_of([&] { group->await([] { return false; }); }, ErrorKind::kSystem),
            "the device of rank 0 did not finish its work within 20 ms");
}

TEST(Group, WrongCountsAreErrorsOfTheCaller) {
  const auto group = make_solo_group();
  std::vector<std::byte> bytes(4);
  const auto gather = [&](std::vector<int64_t> counts, size_t mine) {
    return message_of([&] { group->all_gather(std::span(bytes).first(mine), bytes, counts); },
                      ErrorKind::kInternal);
  };
  EXPECT_THAT(gather({2, 2}, 4), HasSubstr("1 counts expected, found 2"));
  EXPECT_THAT(gather({5}, 4), HasSubstr("counts 5 do not fit 4 bytes"));
  EXPECT_THAT(gather({-1}, 4), HasSubstr("counts -1 do not fit 4 bytes"));
  EXPECT_THAT(gather({3}, 3), HasSubstr("counts sum to 3, bytes are 4"));
  EXPECT_THAT(gather({4}, 3), HasSubstr("4 bytes of rank 0 expected, found 3"));
  EXPECT_THAT(message_of([&] { group->broadcast(bytes, 1); }, ErrorKind::kInternal),
              HasSubstr("root in [0, 1) expected, found 1"));
  const std::vector<int64_t> three{3};
  const std::vector<int64_t> four{4};
  EXPECT_THAT(message_of([&] { group->all_to_all(std::span(bytes).first(3), three, bytes, four); },
                         ErrorKind::kInternal),
              HasSubstr("rank 0 sends itself 3 bytes and expects 4"));
}

// As mpirun sets it, for one test.
class Environment {
 public:
  explicit Environment(const char* ranks) { ::setenv("OMPI_COMM_WORLD_SIZE", ranks, 1); }
  ~Environment() { ::unsetenv("OMPI_COMM_WORLD_SIZE"); }
};

TEST(Communicators, OneRankIsSoloAndStartsNoMpi) {
  EXPECT_FALSE(started_by_mpi());
  EXPECT_EQ(make_group({})->size(), 1);
  const Environment one("1");
  EXPECT_FALSE(started_by_mpi());
  EXPECT_EQ(make_group({})->size(), 1);
}

TEST(Communicators, SeveralRanksNeedMpi) {
  const Environment three("3");
  EXPECT_TRUE(started_by_mpi());
  EXPECT_EQ(mpi_ranks(), 3);
  EXPECT_EQ(mpi_rank(), 0);
  std::vector<std::string> applying;
  for (const Communicator& communicator : communicators())
    if (communicator.applies()) applying.emplace_back(communicator.name);
#ifdef STRAKE_HAS_MPI
  EXPECT_THAT(applying, testing::ElementsAre("mpi"));
#else
  EXPECT_THAT(applying, testing::IsEmpty());
  EXPECT_THAT(message_of([] { make_group({}); }, ErrorKind::kUnsupported),
              HasSubstr("mpirun started 3 ranks, and this build has no MPI: 1 expected"));
  EXPECT_THAT(message_of([] { launch_ranks({.ranks = 2}, {}); }, ErrorKind::kUnsupported),
              HasSubstr("--ranks 2: this build has no MPI: 1 expected"));
#endif
}

TEST(Communicators, DamagedEnvironmentIsAnError) {
  const Environment damaged("two");
  EXPECT_THAT(message_of([] { make_group({}); }, ErrorKind::kUsage), HasSubstr("found \"two\""));
}

}  // namespace
}  // namespace strake
