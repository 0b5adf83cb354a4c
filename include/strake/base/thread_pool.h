// A fixed team of threads that divides index ranges.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

namespace strake {

class ThreadPool {
 public:
  // `threads` counts the caller: 1 starts none. Throws Error(kUsage) below 1.
  explicit ThreadPool(int threads);
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;
  ~ThreadPool();

  int size() const;

  // Calls body(begin, end) on disjoint ranges that cover [0, count), in the caller and the team,
  // and returns when all are done. The ranges depend on count and size alone; results must not
  // depend on the ranges. An exception of a body is thrown again here, after all have ended.
  void for_ranges(int64_t count, const std::function<void(int64_t begin, int64_t end)>& body);

 private:
  struct Team;
  std::unique_ptr<Team> team_;
};

}  // namespace strake
