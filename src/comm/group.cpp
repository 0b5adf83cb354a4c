#include "strake/comm/group.h"

#include <string>
#include <vector>

#include "base/fail.h"

namespace strake {

void Group::check_step(uint64_t fingerprint) {
  struct Mark {
    uint64_t step;
    uint64_t fingerprint;
    bool operator==(const Mark&) const = default;
  };
  const Mark mine{++step_, fingerprint};
  std::vector<Mark> marks(size());
  const std::vector<int64_t> counts(size(), sizeof(Mark));
  all_gather(std::as_bytes(std::span(&mine, 1)), std::as_writable_bytes(std::span(marks)), counts);

  std::string different;
  for (int rank = 1; rank < size(); ++rank) {
    const Mark& mark = marks[rank];
    if (mark != marks[0])
      different += fmt::format(", rank {} has step {} with fingerprint {:016x}", rank, mark.step,
                               mark.fingerprint);
  }
  if (!different.empty())
    fail(ErrorKind::kCommunication, "ranks diverged: rank 0 has step {} with fingerprint {:016x}{}",
         marks[0].step, marks[0].fingerprint, different);
}

}  // namespace strake
