// Layers on ranks that are threads.
#pragma once

#include <functional>
#include <optional>

#include "strake/comm/thread_group.h"
#include "strake/nn/linear.h"

namespace strake {

inline constexpr int kRankCounts[] = {1, 2, 3, 4, 5, 8};

// Runs body(context) on each of so many ranks.
inline void on_ranks(int ranks, const std::function<void(Context&)>& body) {
  run_ranks(ranks, {}, [&](Group& group) {
    const auto backend = make_backend("cpu", {});
    Context context{*backend, group, DType::kF32};
    body(context);
  });
}

// The result of body(context) on a single rank.
inline Tensor on_one_rank(const std::function<Tensor(Context&)>& body) {
  const auto group = make_solo_group();
  const auto backend = make_backend("cpu", {});
  Context context{*backend, *group, DType::kF32};
  return body(context);
}

// How shard_linear divides `extent` outputs, or inputs, of a layer.
inline Partition division(int64_t extent, int64_t unit, const Segments& segments, int ranks) {
  return Partition::divide(Dimension("division", extent, unit, segments), Shares::equal(ranks));
}

// The columns of x that a rank holds.
inline Tensor columns(const Tensor& x, std::span<const Range> ranges) {
  std::vector<Tensor> parts{x.slice(1, 0, 0)};
  for (const Range range : ranges) parts.push_back(x.slice(1, range.begin, range.end));
  return concatenate(parts, 1);
}

// x through the split-out form of a whole layer, all ranks' outputs together.
inline Tensor through_split_out(Context& context, const Linear& whole, const Tensor& x,
                                const Segments& segments = Segments::count(1)) {
  const Linear part = shard_linear(whole, Sharding::kAllToSharded, context.group, segments);
  return gather_columns(context, part.forward(context, x, DType::kF32),
                        division(whole.output_dims(), 1, segments, context.group.size()));
}

// x through the split-in form, each rank's columns by themselves.
inline Tensor through_split_in(Context& context, const Linear& whole, const Tensor& x,
                               const Segments& segments = Segments::count(1)) {
  const Linear part = shard_linear(whole, Sharding::kShardedToAll, context.group, segments);
  const auto format = whole.weight().format();
  const Partition inputs = division(whole.input_dims(), format ? format->group_size() : 1, segments,
                                    context.group.size());
  return part.forward(context, columns(x, inputs[context.group.rank()]), DType::kF32);
}

}  // namespace strake
