#include "strake/base/thread_pool.h"

#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "base/fail.h"

namespace strake {

struct ThreadPool::Team {
  std::mutex mutex;
  std::condition_variable start;
  std::condition_variable done;
  uint64_t generation = 0;
  int pending = 0;
  bool stopping = false;
  int64_t count = 0;
  const std::function<void(int64_t, int64_t)>* body = nullptr;
  std::exception_ptr failure;
  int size = 1;
  std::vector<std::thread> threads;

  void run_share(int index) {
    const int64_t begin = count * index / size;
    const int64_t end = count * (index + 1) / size;
    if (begin == end) return;
    try {
      (*body)(begin, end);
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!failure) failure = std::current_exception();
    }
  }

  void work(int index) {
    uint64_t seen = 0;
    for (;;) {
      {
        std::unique_lock lock(mutex);
        start.wait(lock, [&] { return stopping || generation != seen; });
        if (stopping) return;
        seen = generation;
      }
      run_share(index);
      const std::lock_guard lock(mutex);
      if (--pending == 0) done.notify_one();
    }
  }
};

ThreadPool::ThreadPool(int threads) : team_(std::make_unique<Team>()) {
  if (threads < 1) fail(ErrorKind::kUsage, "threads: at least 1 expected, found {}", threads);
  team_->size = threads;
  for (int index = 1; index < threads; ++index)
    team_->threads.emplace_back([team = team_.get(), index] { team->work(index); });
}

ThreadPool::~ThreadPool() {
  {
    const std::lock_guard lock(team_->mutex);
    team_->stopping = true;
  }
  team_->start.notify_all();
  for (auto& thread : team_->threads) thread.join();
}

int ThreadPool::size() const { return team_->size; }

void ThreadPool::for_ranges(int64_t count, const std::function<void(int64_t, int64_t)>& body) {
  Team& team = *team_;
  if (team.size == 1 || count <= 1) {
    if (count > 0) body(0, count);
    return;
  }
  {
    const std::lock_guard lock(team.mutex);
    team.count = count;
    team.body = &body;
    team.failure = nullptr;
    team.pending = team.size - 1;
    ++team.generation;
  }
  team.start.notify_all();
  team.run_share(0);
  std::unique_lock lock(team.mutex);
  team.done.wait(lock, [&] { return team.pending == 0; });
  if (team.failure) std::rethrow_exception(team.failure);
}

}  // namespace strake
