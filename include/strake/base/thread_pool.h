// A fixed team of threads that divides index ranges.
#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>

namespace strake {

// Threads wait for work spinning for some ten microseconds, then asleep, so that calls that follow
// each other start at once and a crowded machine is not held up. Where threads run is left to the
// operating system; a process that is bound to cores or nodes binds its pools with it.
class ThreadPool {
 public:
  // `threads` counts the caller: 1 starts none. Throws Error(kUsage) below 1.
  explicit ThreadPool(int threads);
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;
  ~ThreadPool();

  int size() const;

  // Calls body(int64_t begin, int64_t end) on disjoint ranges that cover [0, count), in the caller
  // and the team, and returns when all are done. The ranges depend on count and size alone; which
  // thread runs one depends on which is free, and results must not depend on either. An exception
  // of a body is thrown again here, after all have ended. One call at a time; allocates nothing.
  // A body that takes a third argument, int range, is told which of size() ranges it is given.
  template <class Body>
  void for_ranges(int64_t count, const Body& body) {
    run(count,
        {&body, [](const void* object, int64_t begin, int64_t end, [[maybe_unused]] int range) {
           const Body& own = *static_cast<const Body*>(object);
           if constexpr (std::is_invocable_v<const Body&, int64_t, int64_t, int>)
             own(begin, end, range);
           else
             own(begin, end);
         }});
  }

 private:
  struct RangeBody {
    const void* object;
    void (*call)(const void* object, int64_t begin, int64_t end, int range);
  };
  struct Team;
  void run(int64_t count, const RangeBody& body);
  std::unique_ptr<Team> team_;
};

}  // namespace strake
