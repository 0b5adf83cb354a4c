#include "strake/comm/group.h"

#include <string>
#include <thread>

#include "base/fail.h"

namespace strake {

bool Group::gather_sum(std::span<const std::byte> /*mine*/, std::span<std::byte> /*sums*/,
                       std::span<const int> /*pieces*/, std::span<const Merge> /*merges*/) {
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
  constexpr int kSpins = 4096;
  for (int polls = 0; !done(); ++polls)
    if (polls > kSpins) std::this_thread::yield();
}

}  // namespace strake
