#include "strake/nn/reduction.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/fail.h"
#include "base/recycled.h"

namespace strake {
namespace {

// Above this, sending every partial sum to everyone costs more than a second exchange.
constexpr int64_t kShortMessage = 256 * 1024;

// Elements [begin(rank), begin(rank + 1)) are the rank's share of `count`.
int64_t share_begin(int64_t count, int rank, int ranks) { return count * rank / ranks; }

// Which of the pieces, sums of `nodes`, has the sum of node `index` after the merges that this
// adds.
int add_merges(const SumTree& tree, int index, std::span<const int> nodes,
               std::vector<Merge>& merges) {
  const auto found = std::ranges::find(nodes, index);
  if (found != nodes.end()) return static_cast<int>(found - nodes.begin());
  const SumTree::Node& node = tree.node(index);
  if (node.left < 0) fail(ErrorKind::kInternal, "the ranks' parts of a sum do not cover it");
  const int into = add_merges(tree, node.left, nodes, merges);
  const int from = add_merges(tree, node.right, nodes, merges);
  merges.push_back({into, from});
  return into;
}

// The sums [nodes, rows, columns] of each node.
void add_pieces(const Tensor& partial, Recycled<std::span<const std::byte>>& pieces) {
  const int64_t nodes = partial.shape()[0];
  const auto bytes = partial.bytes();
  for (int64_t node = 0; node < nodes; ++node) {
    const size_t size = bytes.size() / static_cast<size_t>(nodes);
    pieces.push_back(bytes.subspan(static_cast<size_t>(node) * size, size));
  }
}

}  // namespace

Reduction::Reduction(const Dimension& dimension, const Partition& partition)
    : tree_(dimension.canonical_cuts()) {
  for (int rank = 0; rank < partition.ranks(); ++rank) {
    auto& nodes = nodes_.emplace_back();
    for (const Range range : partition[rank]) {
      const auto cover = tree_.cover(range.begin, range.end);
      nodes.insert(nodes.end(), cover.begin(), cover.end());
    }
    all_nodes_.insert(all_nodes_.end(), nodes.begin(), nodes.end());
    node_counts_.push_back(static_cast<int>(nodes.size()));
  }
  add_merges(tree_, 0, all_nodes_, merges_);
}

Reduction::Reduction(SumTree tree, std::vector<std::vector<int>> nodes)
    : tree_(std::move(tree)), nodes_(std::move(nodes)), all_nodes_(nodes_.front()) {}

Reduction Reduction::whole(int64_t extent) { return {SumTree::whole(extent), {{0}}}; }

PartialSums Reduction::part(int rank) const {
  return {tree_, nodes_.at(static_cast<size_t>(rank))};
}

int64_t Reduction::bytes_sent(int rank, int64_t columns) const {
  return std::ssize(nodes_.at(static_cast<size_t>(rank))) * columns *
         static_cast<int64_t>(sizeof(float)) * (std::ssize(nodes_) - 1);
}

Tensor Reduction::finish(Context& context, const Tensor& partial) const {
  if (nodes_.size() == 1) return context.backend.finish_sums(partial, all());
  const int64_t columns = partial.shape()[1] * partial.shape()[2];
  const int64_t bytes =
      static_cast<int64_t>(all_nodes_.size()) * columns * static_cast<int64_t>(sizeof(float));
  return bytes <= kShortMessage ? finish_everywhere(context, partial)
                                : finish_in_shares(context, partial);
}

std::optional<Tensor> Reduction::finish_joined(Context& context, const Tensor& partial,
                                               const Reduction& other,
                                               const Tensor& other_partial) const {
  const int64_t rows = partial.shape()[1];
  const int64_t columns = partial.shape()[2];
  const auto nodes = std::ssize(all_nodes_) + std::ssize(other.all_nodes_);
  if (nodes_.size() == 1 ||
      nodes * rows * columns * static_cast<int64_t>(sizeof(float)) > kShortMessage)
    return std::nullopt;
  // A rank's pieces are those of this sum, then those of the other.
  Recycled<int> counts, places, other_places;
  int piece = 0;
  for (size_t rank = 0; rank < node_counts_.size(); ++rank) {
    for (int i = 0; i < node_counts_[rank]; ++i) places.push_back(piece++);
    for (int i = 0; i < other.node_counts_[rank]; ++i) other_places.push_back(piece++);
    counts.push_back(node_counts_[rank] + other.node_counts_[rank]);
  }
  Recycled<Merge> merges;
  const auto add = [&](const Reduction& sum, std::span<const int> at) {
    for (const auto [into, from] : sum.merges_)
      merges.push_back({at[static_cast<size_t>(into)], at[static_cast<size_t>(from)]});
    return at[sum.merges_.empty() ? 0 : static_cast<size_t>(sum.merges_.back().into)];
  };
  const int root = add(*this, places), other_root = add(other, other_places);
  merges.push_back({root, other_root});
  Recycled<std::span<const std::byte>> mine;
  add_pieces(partial, mine);
  add_pieces(other_partial, mine);
  Tensor sums = partial.beside(DType::kF32, {rows, columns});
  if (!context.group.gather_sum(mine, sums.mutable_bytes(), counts, merges)) return std::nullopt;
  return sums;
}

Tensor Reduction::finish_everywhere(Context& context, const Tensor& partial) const {
  const int64_t rows = partial.shape()[1];
  const int64_t columns = partial.shape()[2];
  Tensor sums = partial.beside(DType::kF32, {rows, columns});
  Recycled<std::span<const std::byte>> mine;
  add_pieces(partial, mine);
  if (context.group.gather_sum(mine, sums.mutable_bytes(), node_counts_, merges_)) return sums;
  Recycled<int64_t> counts;
  for (const auto& nodes : nodes_)
    counts.push_back(static_cast<int64_t>(nodes.size() * sizeof(float)) * rows * columns);
  Tensor pieces = partial.beside(DType::kF32, {std::ssize(all_nodes_), rows, columns});
  context.group.all_gather(partial.bytes(), pieces.mutable_bytes(), counts);
  return context.backend.finish_sums(pieces, all());
}

Tensor Reduction::finish_in_shares(Context& context, const Tensor& partial) const {
  const int ranks = context.group.size();
  const int rank = context.group.rank();
  const int64_t elements = partial.shape()[1] * partial.shape()[2];
  const auto own_nodes = static_cast<int64_t>(nodes_[static_cast<size_t>(rank)].size());
  const auto share = [&](int r) {
    return share_begin(elements, r + 1, ranks) - share_begin(elements, r, ranks);
  };
  const auto bytes_of = [](int64_t floats) { return floats * static_cast<int64_t>(sizeof(float)); };
  // To each rank its share of each of our nodes; from each rank our share of its nodes.
  Recycled<int64_t> send_counts, receive_counts, share_counts;
  Recycled<Tensor> outgoing;
  const Tensor flat = partial.reshape({own_nodes, elements});
  for (int r = 0; r < ranks; ++r) {
    const int64_t begin = share_begin(elements, r, ranks);
    outgoing.push_back(flat.slice(1, begin, begin + share(r)).reshape({own_nodes * share(r)}));
    send_counts.push_back(bytes_of(own_nodes * share(r)));
    receive_counts.push_back(
        bytes_of(static_cast<int64_t>(nodes_[static_cast<size_t>(r)].size()) * share(rank)));
    share_counts.push_back(bytes_of(share(r)));
  }
  const Tensor send = concatenate(outgoing, 0);
  Tensor pieces = partial.beside(DType::kF32, {std::ssize(all_nodes_), share(rank)});
  context.group.all_to_all(send.bytes(), send_counts, pieces.mutable_bytes(), receive_counts);
  const Tensor finished = context.backend.finish_sums(pieces, all());
  Tensor result = partial.beside(DType::kF32, {partial.shape()[1], partial.shape()[2]});
  context.group.all_gather(finished.bytes(), result.mutable_bytes(), share_counts);
  return result;
}

Tensor finish(Context& context, const UnfinishedSum& sum) {
  const Tensor finished = sum.reduction.finish(context, sum.partial);
  return sum.bias ? context.backend.add(finished, *sum.bias) : finished;
}

Tensor finish_both(Context& context, const UnfinishedSum& x, const UnfinishedSum& y) {
  if (!x.bias && !y.bias)
    if (auto sum = x.reduction.finish_joined(context, x.partial, y.reduction, y.partial))
      return *std::move(sum);
  const Tensor first = finish(context, x);
  return context.backend.add(first, finish(context, y));
}

Tensor gather_columns(Context& context, const Tensor& local, const Partition& columns) {
  if (columns.ranks() == 1) return local;
  const int64_t rows = local.shape()[0];
  const int64_t width = size_of(local.dtype());
  Recycled<int64_t> counts;
  int64_t sent = 0;  // columns of all ranks, replicated ones too
  for (int rank = 0; rank < columns.ranks(); ++rank) {
    counts.push_back(rows * columns.size(rank) * width);
    sent += columns.size(rank);
  }
  Tensor gathered = local.beside(local.dtype(), {rows * sent});
  context.group.all_gather(local.bytes(), gathered.mutable_bytes(), counts);
  // Rank-major to row-major: each rank's row is cut into the ranges that it holds.
  Tensor result = local.beside(local.dtype(), {rows, columns.extent()});
  int64_t begin = 0;
  for (int rank = 0; rank < columns.ranks(); ++rank) {
    const int64_t held = columns.size(rank);
    const Tensor block = gathered.slice(0, begin, begin + rows * held).reshape({rows, held});
    begin += rows * held;
    int64_t column = 0;
    for (const Range range : columns[rank]) {
      result.assign(1, range.begin,
                    range.size() == held ? block : block.slice(1, column, column + range.size()));
      column += range.size();
    }
  }
  return result;
}

}  // namespace strake
