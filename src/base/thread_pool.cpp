#include "strake/base/thread_pool.h"

#include <atomic>
#include <chrono>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "base/fail.h"

namespace strake {
namespace {

// Longer than the gaps between a step's calls, shorter than a turn of the scheduler by far.
constexpr std::chrono::microseconds kSpin{40};
constexpr int kLooks = 16;  // at the value, between looks at the clock
constexpr int kYields = 4;
constexpr size_t kCacheLine = 64;

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Returns when holds(value): spins, then yields, then sleeps until it is notified.
template <class Holds>
void await(const std::atomic<uint32_t>& value, const Holds& holds) {
  const auto holds_now = [&] { return holds(value.load(std::memory_order_acquire)); };
  if (holds_now()) return;
  const auto deadline = std::chrono::steady_clock::now() + kSpin;
  do {
    for (int look = 0; look < kLooks; ++look) {
      pause();
      if (holds_now()) return;
    }
  } while (std::chrono::steady_clock::now() < deadline);
  for (int i = 0; i < kYields; ++i) {
    std::this_thread::yield();
    if (holds_now()) return;
  }
  for (;;) {
    const uint32_t found = value.load(std::memory_order_acquire);
    if (holds(found)) return;
    value.wait(found, std::memory_order_acquire);
  }
}

}  // namespace

struct ThreadPool::Team {
  // The last call in which a range was taken. Calls are numbered from 1 on and each takes every
  // range once, so that before call c all say c - 1; who says c first runs the range, and a thread
  // that comes late to a call finds nothing left.
  struct alignas(kCacheLine) Claim {
    std::atomic<uint32_t> call = 0;
  };

  explicit Team(int members) : size(members), claims(static_cast<size_t>(members)) {}

  const int size;
  std::vector<Claim> claims;
  std::vector<std::thread> threads;
  alignas(kCacheLine) std::atomic<uint32_t> call = 0;
  std::atomic<bool> stopping = false;
  int64_t count = 0;
  RangeBody body{};
  alignas(kCacheLine) std::atomic<uint32_t> pending = 0;  // ranges of the call that have not ended
  std::mutex mutex;                                       // of `failure`
  std::exception_ptr failure;

  void run_range(int index) {
    const int64_t begin = count * index / size;
    const int64_t end = count * (index + 1) / size;
    if (begin == end) return;
    try {
      body.call(body.object, begin, end, index);
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!failure) failure = std::current_exception();
    }
  }

  // Runs the ranges that nobody has taken, from the thread's own on: a thread that the machine
  // does not run at the moment holds up only the range that it is in.
  void run_ranges(int own, uint32_t number) {
    for (int i = 0; i < size; ++i) {
      const int index = (own + i) % size;
      auto& claim = claims[static_cast<size_t>(index)].call;
      uint32_t before = number - 1;
      if (claim.load(std::memory_order_relaxed) != before ||
          !claim.compare_exchange_strong(before, number, std::memory_order_relaxed))
        continue;
      run_range(index);
      if (pending.fetch_sub(1, std::memory_order_acq_rel) == 1) pending.notify_one();
    }
  }

  void work(int own) {
    for (uint32_t seen = 0;;) {
      await(call, [&](uint32_t number) { return number != seen; });
      if (stopping.load(std::memory_order_relaxed)) return;
      seen = call.load(std::memory_order_acquire);
      run_ranges(own, seen);
    }
  }

  // Publishes what was written before and wakes who sleeps.
  uint32_t start_call() {
    const uint32_t number = call.fetch_add(1) + 1;
    call.notify_all();
    return number;
  }
};

ThreadPool::ThreadPool(int threads) {
  if (threads < 1) fail(ErrorKind::kUsage, "threads: at least 1 expected, found {}", threads);
  team_ = std::make_unique<Team>(threads);
  for (int index = 1; index < threads; ++index)
    team_->threads.emplace_back([team = team_.get(), index] { team->work(index); });
}

ThreadPool::~ThreadPool() {
  team_->stopping.store(true, std::memory_order_relaxed);
  team_->start_call();
  for (auto& thread : team_->threads) thread.join();
}

int ThreadPool::size() const { return team_->size; }

void ThreadPool::run(int64_t count, const RangeBody& body) {
  Team& team = *team_;
  if (team.size == 1 || count <= 1) {
    if (count > 0) body.call(body.object, 0, count, 0);
    return;
  }
  team.count = count;
  team.body = body;
  team.pending.store(static_cast<uint32_t>(team.size), std::memory_order_relaxed);
  team.run_ranges(0, team.start_call());
  await(team.pending, [](uint32_t ranges) { return ranges == 0; });
  if (team.failure) std::rethrow_exception(std::exchange(team.failure, nullptr));
}

}  // namespace strake
