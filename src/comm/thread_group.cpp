#include "strake/comm/thread_group.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "base/fail.h"
#include "comm/exchange_group.h"

namespace strake {
namespace {

struct Call {
  Collective collective;
  std::chrono::milliseconds deadline{};
  const Pieces* pieces = nullptr;  // null: this rank has not arrived

  bool arrived() const { return pieces != nullptr; }
};

// Where in the run a rank is, for messages.
struct Place {
  Collective collective;
  uint64_t step;

  std::string to_string() const {
    return fmt::format("{}, step {}", strake::to_string(collective), step);
  }
};

// Where the ranks of one run meet. The last rank to arrive moves everyone's bytes, under the
// mutex: no rank can time out and free its buffers meanwhile.
class MeetingPlace {
 public:
  explicit MeetingPlace(int ranks)
      : calls_(ranks),
        left_(ranks),
        spins_(ranks <= static_cast<int>(std::thread::hardware_concurrency()) ? 2'000 : 0) {}

  void exchange(int rank, const Call& call, uint64_t step);
  void leave(int rank);
  // Keeps the first failure: its exception for run_ranks, its message for the other ranks.
  void fail_all(std::exception_ptr cause, const std::string& message);
  void rethrow_failure();

 private:
  void finish(const Place& where);
  void wait(std::unique_lock<std::mutex>& lock, std::chrono::milliseconds deadline,
            const Place& where);
  std::vector<int> missing() const;
  std::string mismatch() const;
  void move_bytes();
  void set_failure(const std::string& message);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Call> calls_;  // [rank]
  std::vector<bool> left_;   // [rank]
  std::string failure_;      // not empty: every collective throws it
  std::exception_ptr cause_;
  std::atomic<uint64_t> events_{0};  // finished exchanges and failures: what a waiting rank watches
  const int spins_;
};

void MeetingPlace::exchange(int rank, const Call& call, uint64_t step) {
  const Place where{call.collective, step};
  std::unique_lock lock(mutex_);
  if (failure_.empty()) {
    calls_[rank] = call;
    if (std::ranges::all_of(calls_, &Call::arrived)) {
      finish(where);
    } else {
      wait(lock, call.deadline, where);
    }
  }
  if (!failure_.empty()) throw Error(ErrorKind::kCommunication, failure_);
}

// The last rank has arrived.
void MeetingPlace::finish(const Place& where) {
  const std::string difference = mismatch();
  if (!difference.empty()) set_failure(fmt::format("{}: {}", where.to_string(), difference));
  if (difference.empty()) move_bytes();
  for (Call& done : calls_) done.pieces = nullptr;
  ++events_;
  changed_.notify_all();
}

void MeetingPlace::wait(std::unique_lock<std::mutex>& lock, std::chrono::milliseconds deadline,
                        const Place& where) {
  for (size_t other = 0; other < calls_.size(); ++other)
    if (left_[other])
      return set_failure(fmt::format("rank {} left the run before {}", other, where.to_string()));
  const auto end = std::chrono::steady_clock::now() + deadline;
  const uint64_t before = events_;
  lock.unlock();
  for (int spin = 0; spin < spins_ && events_ == before; ++spin) std::this_thread::yield();
  lock.lock();
  if (!changed_.wait_until(lock, end, [&] { return events_ != before; }))
    set_failure(fmt::format("no answer from {} within {} ms in {}", name_ranks(missing()),
                            deadline.count(), where.to_string()));
}

std::vector<int> MeetingPlace::missing() const {
  std::vector<int> ranks;
  for (int rank = 0; rank < std::ssize(calls_); ++rank)
    if (!calls_[rank].arrived()) ranks.push_back(rank);
  return ranks;
}

// How the ranks' calls contradict each other; empty when they fit.
std::string MeetingPlace::mismatch() const {
  const int ranks = static_cast<int>(calls_.size());
  for (int rank = 1; rank < ranks; ++rank)
    if (calls_[rank].collective != calls_[0].collective)
      return fmt::format("rank {} is in {}, rank 0 in {}", rank, to_string(calls_[rank].collective),
                         to_string(calls_[0].collective));
  for (int from = 0; from < ranks; ++from)
    for (int to = 0; to < ranks; ++to) {
      const size_t sent = calls_[from].pieces->outgoing[to].size();
      const size_t expected = calls_[to].pieces->incoming[from].size();
      if (sent != expected)
        return fmt::format("rank {} expected {} bytes of rank {}, found {}", to, expected, from,
                           sent);
    }
  return {};
}

void MeetingPlace::move_bytes() {
  const size_t ranks = calls_.size();
  for (size_t from = 0; from < ranks; ++from)
    for (size_t to = 0; to < ranks; ++to) {
      const auto source = calls_[from].pieces->outgoing[to];
      if (!source.empty())
        std::memcpy(calls_[to].pieces->incoming[from].data(), source.data(), source.size());
    }
}

void MeetingPlace::set_failure(const std::string& message) {
  if (failure_.empty()) failure_ = message;
  ++events_;
  changed_.notify_all();
}

void MeetingPlace::leave(int rank) {
  const std::lock_guard lock(mutex_);
  left_[rank] = true;
  for (const Call& call : calls_)
    if (call.arrived()) {
      set_failure(fmt::format("rank {} left the run while others were in {}", rank,
                              to_string(call.collective)));
      return;
    }
}

void MeetingPlace::fail_all(std::exception_ptr cause, const std::string& message) {
  const std::lock_guard lock(mutex_);
  if (!cause_) cause_ = std::move(cause);
  set_failure(message);
}

void MeetingPlace::rethrow_failure() {
  if (cause_) std::rethrow_exception(cause_);
}

class ThreadGroup final : public ExchangeGroup {
 public:
  ThreadGroup(int rank, int size, const GroupOptions& options, MeetingPlace& place)
      : ExchangeGroup(rank, size, options), place_(place) {}

  void abort(std::string_view reason, int) noexcept override {
    const std::string message = fmt::format("rank {} of {}: {}", rank(), size(), reason);
    place_.fail_all(std::make_exception_ptr(Error(ErrorKind::kCommunication, message)), message);
  }

 private:
  void exchange(Collective collective, const Pieces& pieces) override {
    place_.exchange(rank(), {collective, deadline(), &pieces}, step());
  }

  MeetingPlace& place_;
};

void run_rank(Group& group, MeetingPlace& place, const std::function<void(Group&)>& body) {
  const auto failed = [&](const char* what) {
    place.fail_all(std::current_exception(), fmt::format("rank {} failed: {}", group.rank(), what));
  };
  try {
    body(group);
    place.leave(group.rank());
  } catch (const std::exception& error) {
    failed(error.what());
  } catch (...) {
    failed("an exception of unknown type");
  }
}

}  // namespace

void run_ranks(int ranks, const GroupOptions& options, const std::function<void(Group&)>& body) {
  if (ranks < 1) fail(ErrorKind::kUsage, "ranks: at least 1 expected, found {}", ranks);
  MeetingPlace place(ranks);
  {
    std::vector<std::jthread> threads;
    try {
      for (int rank = 0; rank < ranks; ++rank)
        threads.emplace_back([rank, ranks, &options, &place, &body] {
          ThreadGroup group(rank, ranks, options, place);
          run_rank(group, place, body);
        });
    } catch (const std::exception& error) {
      place.fail_all(std::current_exception(),
                     fmt::format("rank {} did not start: {}", threads.size(), error.what()));
    }
  }
  place.rethrow_failure();
}

}  // namespace strake
