#include "engine/paths.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <optional>

#include "base/fail.h"
#include "comm/gather.h"
#include "strake/ops/backend.h"

namespace strake {
namespace {

// The first rank without the path.
std::optional<size_t> rank_without(std::span<const std::vector<std::string>> paths_by_rank,
                                   std::string_view path) {
  for (size_t rank = 0; rank < paths_by_rank.size(); ++rank)
    if (std::ranges::find(paths_by_rank[rank], path) == paths_by_rank[rank].end()) return rank;
  return std::nullopt;
}

}  // namespace

std::string choose_path(std::span<const std::vector<std::string>> paths_by_rank,
                        std::string_view forced) {
  if (!forced.empty()) {
    if (const auto rank = rank_without(paths_by_rank, forced))
      fail(ErrorKind::kUnsupported, "path '{}' cannot run on rank {}, which has: {}", forced, *rank,
           fmt::join(paths_by_rank[*rank], ", "));
    return std::string(forced);
  }
  for (const std::string& path : paths_by_rank[0])
    if (!rank_without(paths_by_rank, path)) return path;
  const size_t rank = *rank_without(paths_by_rank, paths_by_rank[0].back());
  fail(ErrorKind::kUnsupported, "no path that all ranks have: rank 0 has {}; rank {} has {}",
       fmt::join(paths_by_rank[0], ", "), rank, fmt::join(paths_by_rank[rank], ", "));
}

std::string agree_on_path(Group& group, std::string_view device, std::string_view forced) {
  const auto paths = backend_paths(device);
  return choose_path(gather_names(group, std::vector<std::string>(paths.begin(), paths.end())),
                     forced);
}

}  // namespace strake
