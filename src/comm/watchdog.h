// A bound on code that cannot be interrupted.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <thread>

namespace strake {

// Calls `bite` in a thread of its own when it lives longer than `limit`.
class Watchdog {
 public:
  Watchdog(std::chrono::milliseconds limit, std::function<void()> bite);
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

 private:
  std::mutex mutex_;
  std::condition_variable_any stopped_;
  std::jthread thread_;  // last: it uses the others
};

}  // namespace strake
