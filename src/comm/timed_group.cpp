#include "comm/timed_group.h"

namespace strake {

template <class Collective>
void TimedGroup::time(const Collective& collective) {
  const auto start = Clock::now();
  collective();
  spent_ += Clock::now() - start;
  ++calls_;
}

void TimedGroup::all_gather(std::span<const std::byte> mine, std::span<std::byte> all,
                            std::span<const int64_t> counts) {
  time([&] { inner_.all_gather(mine, all, counts); });
}

// One that is not done is gathered, and counted then.
bool TimedGroup::gather_sum(std::span<const std::span<const std::byte>> mine,
                            std::span<std::byte> sums, std::span<const int> pieces,
                            std::span<const Merge> merges) {
  const auto start = Clock::now();
  const bool done = inner_.gather_sum(mine, sums, pieces, merges);
  spent_ += Clock::now() - start;
  calls_ += done ? 1 : 0;
  return done;
}

void TimedGroup::all_to_all(std::span<const std::byte> send, std::span<const int64_t> send_counts,
                            std::span<std::byte> receive, std::span<const int64_t> receive_counts) {
  time([&] { inner_.all_to_all(send, send_counts, receive, receive_counts); });
}

void TimedGroup::broadcast(std::span<std::byte> bytes, int root) {
  time([&] { inner_.broadcast(bytes, root); });
}

void TimedGroup::barrier() {
  time([&] { inner_.barrier(); });
}

void TimedGroup::check_step(uint64_t fingerprint) {
  time([&] { inner_.check_step(fingerprint); });
}

}  // namespace strake
