#include "comm/watchdog.h"

#include <utility>

namespace strake {

Watchdog::Watchdog(std::chrono::milliseconds limit, std::function<void()> bite)
    : thread_([this, limit, bite = std::move(bite)](const std::stop_token& stop) {
        std::unique_lock lock(mutex_);
        stopped_.wait_for(lock, stop, limit, [] { return false; });
        if (!stop.stop_requested()) bite();
      }) {}

Watchdog::~Watchdog() = default;

}  // namespace strake
