#include "engine/devices.h"

#include <algorithm>
#include <set>

#include "base/fail.h"
#include "comm/gather.h"
#include "engine/paths.h"
#include "strake/ops/backend.h"

namespace strake {

std::vector<int> choose_devices(std::span<const std::vector<std::string>> devices_by_rank,
                                std::string_view device) {
  std::set<std::string_view> taken;
  std::vector<int> chosen;
  for (const std::vector<std::string>& seen : devices_by_rank) {
    const auto own =
        std::ranges::find_if(seen, [&](const std::string& one) { return !taken.contains(one); });
    if (own == seen.end() && !seen.empty())
      fail(ErrorKind::kUnsupported,
           "{}: a GPU for each rank expected: rank {} sees {}, which ranks before it "
           "have",
           device, chosen.size(), seen.size());
    if (own != seen.end()) taken.insert(*own);
    chosen.push_back(own != seen.end() ? static_cast<int>(own - seen.begin()) : 0);
  }
  return chosen;
}

int agree_on_device(Group& group, std::string_view device) {
  const auto all = gather_names(group, backend_devices(device));
  return choose_devices(all, device)[static_cast<size_t>(group.rank())];
}

void require_machine(std::string_view device, std::string_view path, int ranks) {
  const auto paths = backend_paths(device);
  const std::vector<std::string> names(paths.begin(), paths.end());
  choose_path(std::span(&names, 1), path);
  choose_devices(std::vector(static_cast<size_t>(ranks), backend_devices(device)), device);
}

}  // namespace strake
