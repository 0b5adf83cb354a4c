#include "engine/room.h"

#include <algorithm>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/fail.h"
#include "comm/gather.h"
#include "engine/capacity.h"

namespace strake {
namespace {

// Beside weights, caches and what experts make of a prompt's rows: other activations of a piece of
// a prompt, which are the most of it, and those of recorded steps, which are single rows;
// workspaces of kernels; what the driver and NCCL take when a kernel or a link is first used.
// Pinned buffers are the host's.
constexpr int64_t kWork = int64_t{1} << 30;

// What a weight is made of lies beside it until it is prepared. Caches come after the last one.
int64_t beside_weights(const RankCapacity& rank) {
  return std::max(rank.cache, rank.largest_weight);
}

// To compute with, on rows of prompts.
int64_t work(const RankCapacity& rank, int64_t prompt_rows) {
  return kWork + prompt_rows * rank.prompt_row;
}

int64_t needed(const RankCapacity& rank, int64_t prompt_rows) {
  return rank.weights + beside_weights(rank) + work(rank, prompt_rows);
}

double gigabytes(int64_t bytes) { return static_cast<double>(bytes) / 1e9; }

// The least number of more, equal ranks that would do, if each had so much memory.
std::optional<int> ranks_that_fit(const OpenModel& open, const Division& division, const Load& load,
                                  int64_t free, int64_t prompt_rows) {
  for (int ranks = division.shares.ranks() + 1; ranks <= kMaxRanks; ++ranks) {
    Division more = division;
    more.shares = Shares::equal(ranks);
    try {
      const Capacity capacity = find_capacity(open, more, load);
      if (std::ranges::all_of(capacity.ranks, [&](const RankCapacity& rank) {
            return needed(rank, prompt_rows) <= free;
          }))
        return ranks;
    } catch (const Error& error) {
      // What this number of ranks cannot do, a larger one may.
      if (error.kind() != ErrorKind::kUsage) throw;
    }
  }
  return std::nullopt;
}

// A number of cached tokens that would do on these ranks; 0: none does.
int64_t tokens_that_fit(const Capacity& capacity, const std::vector<int64_t>& free, int64_t tokens,
                        int64_t prompt_rows) {
  int64_t fewer = 0;
  for (size_t i = 0; i < free.size(); ++i) {
    const RankCapacity& rank = capacity.ranks[i];
    const int64_t for_cache = free[i] - rank.weights - work(rank, prompt_rows);
    const int64_t over = rank.cache - for_cache;
    if (rank.largest_weight > for_cache || (over > 0 && rank.cache_per_token == 0)) return 0;
    if (over <= 0) continue;
    fewer = std::max(fewer, (over + rank.cache_per_token - 1) / rank.cache_per_token);
  }
  return std::max<int64_t>(0, tokens - fewer);
}

}  // namespace

void require_room(Group& group, const ModelSource& source, const Division& division,
                  const RoomOnRank& room) {
  const OpenModel open = [&](Device) { return source.without_bytes(); };
  const Load load{.context = room.tokens, .cache = room.storage};
  const Capacity capacity = find_capacity(open, division, load);
  const std::vector<int64_t> free = gather_values(group, room.free);
  size_t worst = 0;
  const int64_t rows = std::min(room.prompt_rows, room.tokens);
  const auto over = [&](size_t rank) { return needed(capacity.ranks[rank], rows) - free[rank]; };
  for (size_t rank = 1; rank < free.size(); ++rank)
    if (over(rank) > over(worst)) worst = rank;
  if (over(worst) <= 0) return;

  const RankCapacity& rank = capacity.ranks[worst];
  const std::string beside =
      rank.largest_weight > rank.cache ? "to load them" : fmt::format("for {} tokens", room.tokens);
  std::string fits;
  if (const auto ranks = ranks_that_fit(open, division, load, std::ranges::min(free), rows))
    fits = fmt::format("{} ranks would do", *ranks);
  if (const int64_t tokens = tokens_that_fit(capacity, free, room.tokens, rows); tokens > 0)
    fits += fmt::format("{}{} tokens would do here", fits.empty() ? "" : ", or ", tokens);
  fail(ErrorKind::kSystem,
       "out of memory: rank {} of {} needs {:.2f} GB ({:.2f} of weights, {:.2f} {}, "
       "{:.2f} to compute with), and {:.2f} GB are free{}{}",
       worst, free.size(), gigabytes(needed(rank, rows)), gigabytes(rank.weights),
       gigabytes(beside_weights(rank)), beside, gigabytes(work(rank, rows)), gigabytes(free[worst]),
       fits.empty() ? "" : "; ", fits);
}

}  // namespace strake
