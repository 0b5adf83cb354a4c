#include "strake/comm/await.h"

#include <vector>

namespace strake {

void await_on_rank_zero(Group& group, const GroupOptions& options,
                        const std::function<bool(std::chrono::milliseconds limit)>& ready) {
  const std::vector<int64_t> counts(group.size(), 1);
  std::vector<std::byte> states(group.size());
  do {
    std::byte mine{group.rank() == 0 && ready(options.deadline / 4)};
    group.all_gather({&mine, 1}, states, counts);
  } while (states[0] == std::byte{0});
}

}  // namespace strake
