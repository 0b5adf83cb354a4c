#include "io/read_ahead.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace strake {
namespace {

// Enough for a disk to stay busy while the reader lays out a large weight; pages that are fetched
// too early could be thrown out again where memory is short.
constexpr int64_t kAhead = int64_t{256} << 20;
constexpr int64_t kAtOnce = int64_t{8} << 20;
constexpr auto kPause = std::chrono::milliseconds(1);

}  // namespace

ReadAhead::ReadAhead(const SafetensorsDirectory& weights, std::vector<ExpectedRead> reads)
    : weights_(weights),
      reads_(std::move(reads)),
      thread_([this](const std::stop_token& stop) { run(stop); }) {}

void ReadAhead::run(const std::stop_token& stop) const {
  const int64_t before = weights_.bytes_read();
  int64_t asked = 0;
  for (const auto& [tensor, runs] : reads_) {
    const SafetensorsFile& file = weights_.file_of(tensor);
    for (int64_t run = 0; run < runs.count; ++run) {
      const int64_t begin = runs.offset + run * runs.stride;
      for (int64_t at = 0; at < runs.bytes; at += kAtOnce) {
        while (asked - (weights_.bytes_read() - before) > kAhead) {
          if (stop.stop_requested()) return;
          std::this_thread::sleep_for(kPause);
        }
        if (stop.stop_requested()) return;
        const int64_t bytes = std::min(kAtOnce, runs.bytes - at);
        file.will_read(begin + at, bytes);
        asked += bytes;
      }
    }
  }
}

}  // namespace strake
