#include "strake/comm/group.h"

#include <chrono>
#include <string>
#include <thread>

#include "base/fail.h"

namespace strake {

bool Group::gather_sum(std::span<const std::span<const std::byte>> /*mine*/,
                       std::span<std::byte> /*sums*/, std::span<const int> /*pieces*/,
                       std::span<const Merge> /*merges*/) {
  return false;
}

void Group::check_step(uint64_t fingerprint) {
  const Mark mine{++step_, fingerprint};
  marks_.resize(size());
  mark_bytes_.resize(size(), sizeof(Mark));
  all_gather(std::as_bytes(std::span(&mine, 1)), std::as_writable_bytes(std::span(marks_)),
             mark_bytes_);

  std::string different;
  for (int rank = 1; rank < size(); ++rank) {
    const Mark& mark = marks_[rank];
    if (mark != marks_[0])
      different += fmt::format(", rank {} has step {} with fingerprint {:016x}", rank, mark.step,
                               mark.fingerprint);
  }
  if (!different.empty())
    fail(ErrorKind::kCommunication, "ranks diverged: rank 0 has step {} with fingerprint {:016x}{}",
         marks_[0].step, marks_[0].fingerprint, different);
}

void Group::await(const std::function<bool()>& done) {
  using Clock = std::chrono::steady_clock;
  constexpr int64_t kSpins = 4096;
  const auto end = Clock::now() + deadline();
  for (int64_t polls = 1; !done(); ++polls) {
    // Reading the clock costs as much as a poll.
    if (polls % 64 == 0 && Clock::now() > end)
      fail(ErrorKind::kSystem, "the device of rank {} did not finish its work within {} ms", rank(),
           deadline().count());
    if (polls > kSpins) std::this_thread::yield();
  }
}

}  // namespace strake
