#include "engine/paths.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <optional>

#include "base/fail.h"
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
  std::string mine;  // each name and a line end
  for (const std::string_view path : backend_paths(device)) mine.append(path).push_back('\n');
  const auto ranks = static_cast<size_t>(group.size());
  const auto length = static_cast<int64_t>(mine.size());
  std::vector<int64_t> lengths(ranks);
  group.all_gather(std::as_bytes(std::span(&length, 1)), std::as_writable_bytes(std::span(lengths)),
                   std::vector<int64_t>(ranks, sizeof length));
  int64_t total = 0;
  for (const int64_t bytes : lengths) total += bytes;
  std::string all(static_cast<size_t>(total), '\0');
  group.all_gather(std::as_bytes(std::span(mine)), std::as_writable_bytes(std::span(all)), lengths);

  std::vector<std::vector<std::string>> paths_by_rank(ranks);
  std::string_view rest = all;
  for (size_t rank = 0; rank < ranks; ++rank) {
    std::string_view names = rest.substr(0, static_cast<size_t>(lengths[rank]));
    rest.remove_prefix(names.size());
    for (; !names.empty(); names.remove_prefix(names.find('\n') + 1))
      paths_by_rank[rank].emplace_back(names.substr(0, names.find('\n')));
  }
  return choose_path(paths_by_rank, forced);
}

}  // namespace strake
