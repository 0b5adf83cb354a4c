#include "strake/comm/thread_group.h"

#include <gmock/gmock.h>

#include <atomic>
#include <numeric>
#include <stdexcept>
#include <thread>

#include "strake/base/error.h"
#include "strake/comm/await.h"

namespace strake {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

// What run_ranks throws for `body`.
std::string failure_of(int ranks, milliseconds deadline, const std::function<void(Group&)>& body) {
  try {
    run_ranks(ranks, {.deadline = deadline}, body);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kCommunication);
    return error.what();
  }
  return "no error";
}

std::byte value(int from, int to) { return static_cast<std::byte>(16 * from + to); }

TEST(ThreadGroup, AllGatherJoinsUnevenPiecesInRankOrder) {
  for (const int ranks : {1, 2, 3, 16}) {
    run_ranks(ranks, {}, [&](Group& group) {
      EXPECT_EQ(group.size(), ranks);
      std::vector<int64_t> counts(ranks);
      std::iota(counts.begin(), counts.end(), 0);  // rank 0 has nothing
      std::vector<std::byte> expected;
      for (int rank = 0; rank < ranks; ++rank)
        expected.insert(expected.end(), counts[rank], value(rank, 1));
      const std::vector<std::byte> mine(counts[group.rank()], value(group.rank(), 1));
      for (int round = 0; round < 50; ++round) {
        std::vector<std::byte> all(expected.size());
        group.all_gather(mine, all, counts);
        EXPECT_EQ(all, expected);
      }
    });
  }
}

TEST(ThreadGroup, AllGatherTakesAPieceFromItsOwnPlace) {
  run_ranks(3, {}, [](Group& group) {
    std::vector<std::byte> all(3);
    all[group.rank()] = value(group.rank(), 0);
    group.all_gather(std::span(all).subspan(group.rank(), 1), all, std::vector<int64_t>(3, 1));
    EXPECT_THAT(all, testing::ElementsAre(value(0, 0), value(1, 0), value(2, 0)));
  });
}

TEST(ThreadGroup, AllToAllBringsEachRankItsPieces) {
  constexpr int kRanks = 4;
  run_ranks(kRanks, {}, [](Group& group) {
    const int me = group.rank();
    std::vector<int64_t> send_counts(kRanks);
    std::vector<int64_t> receive_counts(kRanks);
    std::vector<std::byte> send;
    std::vector<std::byte> expected;
    for (int peer = 0; peer < kRanks; ++peer) {
      send_counts[peer] = me + 2 * peer;
      receive_counts[peer] = peer + 2 * me;
      send.insert(send.end(), send_counts[peer], value(me, peer));
      expected.insert(expected.end(), receive_counts[peer], value(peer, me));
    }
    std::vector<std::byte> received(expected.size());
    group.all_to_all(send, send_counts, received, receive_counts);
    EXPECT_EQ(received, expected);
  });
}

TEST(ThreadGroup, BroadcastTakesTheRootsBytes) {
  run_ranks(5, {}, [](Group& group) {
    for (int root = 0; root < 5; ++root) {
      std::vector<std::byte> bytes(7, value(group.rank(), 2));
      group.broadcast(bytes, root);
      EXPECT_EQ(bytes, std::vector<std::byte>(7, value(root, 2)));
    }
  });
}

TEST(ThreadGroup, BarrierWaitsForAll) {
  std::atomic<int> arrived = 0;
  run_ranks(8, {}, [&](Group& group) {
    ++arrived;
    group.barrier();
    EXPECT_EQ(arrived, 8);
  });
}

TEST(ThreadGroup, EqualFingerprintsPassEachStep) {
  run_ranks(4, {}, [](Group& group) {
    for (uint64_t step = 0; step < 100; ++step) group.check_step(step * step);
  });
}

TEST(ThreadGroup, DivergedRanksAreNamedOnEveryRankAtTheirStep) {
  std::atomic<int> informed = 0;
  const auto failure = failure_of(4, milliseconds(10'000), [&](Group& group) {
    group.check_step(1);
    try {
      group.check_step(group.rank() == 1 || group.rank() == 3 ? 0xab : 2);
    } catch (const Error&) {
      ++informed;
      throw;
    }
  });
  EXPECT_EQ(informed, 4);
  EXPECT_EQ(
      failure,
      "ranks diverged: rank 0 has step 2 with fingerprint 0000000000000002, rank 1 has step 2 "
      "with fingerprint 00000000000000ab, rank 3 has step 2 with fingerprint "
      "00000000000000ab");
}

TEST(ThreadGroup, FirstExceptionIsThrownAndOthersHearOfIt) {
  std::atomic<int> informed = 0;
  const auto run = [&] {
    run_ranks(3, {}, [&](Group& group) {
      if (group.rank() == 2) throw std::invalid_argument("the cause");
      for (int attempt = 0; attempt < 2; ++attempt) {
        try {
          group.barrier();
        } catch (const Error& error) {
          EXPECT_STREQ(error.what(), "rank 2 failed: the cause");
          ++informed;
        }
      }
      group.barrier();
    });
  };
  EXPECT_THROW(run(), std::invalid_argument);
  EXPECT_EQ(informed, 4);  // two ranks, twice: later collectives throw at once
}

TEST(ThreadGroup, AbortNamesTheRank) {
  EXPECT_EQ(failure_of(3, milliseconds(10'000),
                       [](Group& group) {
                         if (group.rank() == 1) return group.abort("no more memory", 6);
                         group.barrier();
                       }),
            "rank 1 of 3: no more memory");
}

TEST(ThreadGroup, SilentRanksAreFoundByTheDeadline) {
  EXPECT_EQ(failure_of(4, milliseconds(300),
                       [](Group& group) {
                         group.check_step(0);
                         if (group.rank() == 1 || group.rank() == 2)
                           std::this_thread::sleep_for(milliseconds(1'500));
                         group.barrier();
                       }),
            "no answer from ranks 1, 2 within 300 ms in barrier, step 1");
}

TEST(ThreadGroup, RankThatReturnsEarlyIsFoundAtOnce) {
  // The order in which the ranks come decides between the two messages.
  EXPECT_THAT(failure_of(3, milliseconds(60'000),
                         [](Group& group) {
                           if (group.rank() != 1) group.barrier();
                         }),
              HasSubstr("rank 1 left the run"));
}

TEST(ThreadGroup, WrongSizeNamesRankExpectedAndFound) {
  EXPECT_EQ(failure_of(2, milliseconds(10'000),
                       [](Group& group) {
                         const int64_t bytes = group.rank() == 0 ? 8 : 16;
                         std::vector<std::byte> all(2 * bytes);
                         group.all_gather(std::span(all).first(bytes), all,
                                          std::vector<int64_t>(2, bytes));
                       }),
            "all_gather, step 0: rank 1 expected 16 bytes of rank 0, found 8");
}

TEST(ThreadGroup, WrongCollectiveIsFound) {
  EXPECT_THAT(failure_of(2, milliseconds(10'000),
                         [](Group& group) {
                           std::byte byte{};
                           if (group.rank() == 0) group.barrier();
                           if (group.rank() == 1) group.broadcast({&byte, 1}, 0);
                         }),
              HasSubstr("rank 1 is in broadcast, rank 0 in barrier"));
}

TEST(ThreadGroup, WaitingOnRankZeroMayOutlastTheDeadline) {
  const GroupOptions options{.deadline = milliseconds(400)};
  std::atomic<int> calls = 0;
  run_ranks(3, options, [&](Group& group) {
    await_on_rank_zero(group, options, [&](milliseconds limit) {
      EXPECT_EQ(group.rank(), 0);
      std::this_thread::sleep_for(limit);
      return ++calls == 8;
    });
    EXPECT_EQ(calls, 8);
  });
}

TEST(ThreadGroup, NoRanksIsAnError) {
  EXPECT_THROW(run_ranks(0, {}, [](Group&) {}), Error);
}

TEST(ThreadGroup, TheDeadlineCanChange) {
  std::atomic<bool> failed = false;
  const std::string failure = failure_of(2, milliseconds(60'000), [&](Group& group) {
    EXPECT_EQ(group.deadline(), milliseconds(60'000));
    group.set_deadline(milliseconds(50));
    group.barrier();
    if (group.rank() == 1) return failed.wait(false);
    try {
      group.barrier();
    } catch (const Error&) {
      failed = true;
      failed.notify_all();
      throw;
    }
  });
  EXPECT_THAT(failure, HasSubstr("no answer from rank 1 within 50 ms in barrier"));
}

}  // namespace
}  // namespace strake
