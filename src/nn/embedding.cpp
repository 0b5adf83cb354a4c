#include "strake/nn/embedding.h"

#include <cstring>
#include <utility>

#include "base/fail.h"
#include "base/recycled.h"

namespace strake {

namespace {

std::vector<HeldRows> held_rows(const Partition& partition) {
  std::vector<HeldRows> held;
  for (int rank = 0; rank < partition.ranks(); ++rank) {
    int64_t before = 0;
    for (const Range range : partition[rank]) {
      held.push_back({range.begin, range.end, rank, before});
      before += range.size();
    }
  }
  return held;
}

}  // namespace

Embedding::Embedding(Weight table) : Embedding(table, Partition::replicated(table.shape()[0], 1)) {}

Embedding::Embedding(Weight rows, Partition vocabulary)
    : table_(std::move(rows)),
      vocabulary_(std::move(vocabulary)),
      held_(held_rows(vocabulary_)),
      reduction_(Reduction::whole(table_.shape()[-1])) {
  if (table_.shape().rank() != 2)
    fail(ErrorKind::kUsage, "embedding: a table [vocabulary, width] expected, found {}",
         table_.shape().to_string());
}

Tensor Embedding::forward(Context& context, const TokenIds& ids) const {
  for (const int32_t id : ids.ids)
    if (id < 0 || id >= vocabulary())
      fail(ErrorKind::kUsage, "embedding: token id below {} expected, found {}", vocabulary(), id);
  if (vocabulary_.ranks() == 1) return context.backend.embedding(table_, ids);
  return ids.on_device != nullptr ? gather_all(context, ids) : gather_asked(context, ids.ids);
}

// Nobody knows who holds which row: every rank sends a row for each id, and the right ones count.
Tensor Embedding::gather_all(Context& context, const TokenIds& ids) const {
  Backend& backend = context.backend;
  const int64_t width = table_.shape()[1];
  const Tensor rows = backend.embedding_part(table_, ids, {held_, context.group.rank()});
  const Recycled<int64_t> counts(static_cast<size_t>(vocabulary_.ranks()), rows.nbytes());
  Tensor pieces = rows.beside(DType::kF32, {vocabulary_.ranks(), ids.count(), width});
  context.group.all_gather(rows.bytes(), pieces.mutable_bytes(), counts);
  return backend.pick_rows(pieces, ids, held_);
}

Tensor Embedding::gather_asked(Context& context, std::span<const int32_t> ids) const {
  // Every rank knows who holds which row, so each sends the rows it holds, in order of asking.
  const int ranks = vocabulary_.ranks();
  Recycled<Recycled<size_t>> asked(static_cast<size_t>(ranks));  // positions in ids
  Recycled<int32_t> own;  // our rows, counted within our part
  // Whoever has the rows: steps are then alike in what they take from memory.
  for (auto& positions : asked) positions.reserve(ids.size());
  own.reserve(ids.size());
  for (size_t i = 0; i < ids.size(); ++i) {
    for (int rank = 0; rank < ranks; ++rank) {
      int64_t before = 0;
      for (const Range range : vocabulary_[rank]) {
        if (range.begin <= ids[i] && ids[i] < range.end) {
          asked[static_cast<size_t>(rank)].push_back(i);
          if (rank == context.group.rank())
            own.push_back(static_cast<int32_t>(ids[i] - range.begin + before));
        }
        before += range.size();
      }
    }
  }
  const auto count = static_cast<int64_t>(ids.size());
  const int64_t row_bytes = table_.shape()[1] * static_cast<int64_t>(sizeof(float));
  Recycled<int64_t> counts;
  for (const auto& positions : asked)
    counts.push_back(static_cast<int64_t>(positions.size()) * row_bytes);
  const Tensor rows = context.backend.embedding(table_, own);
  Tensor gathered = rows.beside(DType::kF32, {count, table_.shape()[1]});
  context.group.all_gather(rows.bytes(), gathered.mutable_bytes(), counts);
  if (count == 1) return gathered;
  // Back to the order of asking.
  Recycled<int32_t> places(ids.size());
  int32_t place = 0;
  for (const auto& positions : asked)
    for (const size_t position : positions) places[position] = place++;
  return context.backend.embedding(gathered, places);
}

Tensor Embedding::as_linear(Context& context, const Tensor& x) const {
  const Tensor local = context.backend.matmul(x, table_, reduction_.part(0));
  return gather_columns(context, local.reshape({x.shape()[0], table_.shape()[0]}), vocabulary_);
}

std::string Embedding::describe() const {
  const auto format = table_.format();
  return fmt::format("{}Embedding({}, {}{})", format ? "Quantized" : "", vocabulary(),
                     table_.shape()[1],
                     format ? fmt::format(", group_size={}, bits={}, mode={}", format->group_size(),
                                          format->bits(), format->mode_name())
                            : "");
}

Embedding shard_embedding(const Embedding& embedding, const Group& group) {
  if (embedding.table().shape()[0] != embedding.vocabulary())
    fail(ErrorKind::kUsage, "shard_embedding: a whole table expected, found {} of {} rows",
         embedding.table().shape()[0], embedding.vocabulary());
  const Dimension vocabulary("shard_embedding: vocabulary", embedding.vocabulary(), 1);
  Partition partition = Partition::divide(vocabulary, Shares::equal(group.size()));
  const auto ranges = partition[group.rank()];
  const Range range = ranges.empty() ? Range{0, 0} : ranges.front();
  Weight rows = embedding.table().slice(0, range.begin, range.end);
  return {std::move(rows), std::move(partition)};
}

}  // namespace strake
