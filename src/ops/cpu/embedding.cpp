// Rows of tables.
#include <algorithm>

#include "ops/cpu/cpu_backend.h"
#include "ops/cpu/now.h"
#include "ops/cpu/packed_weight.h"
#include "ops/cpu/product.h"

namespace strake::cpu {
namespace {

// Of the part; nullptr where it does not have the row.
const HeldRows* find_rows(std::span<const HeldRows> held, int32_t id) {
  const auto found = std::ranges::find_if(
      held, [&](const HeldRows& rows) { return rows.begin <= id && id < rows.end; });
  return found == held.end() ? nullptr : &*found;
}

}  // namespace

Tensor CpuBackend::do_embedding(const Weight& w, const TokenIds& ids) {
  const HeldRows all{0, w.shape()[0], 0, 0};
  return do_embedding_part(w, ids, {std::span(&all, 1), 0});
}

Tensor CpuBackend::do_embedding_part(const Weight& w, const TokenIds& ids,
                                     const TableParts& parts) {
  const int64_t width = w.shape()[1];
  Tensor y = Tensor::empty(DType::kF32, {ids.count(), width});
  if (y.elements() == 0) return y;
  const Blocks blocks(w, arrangement_of(path_));
  scratch_.reserve(blocks.room_bytes() + kReadBeyond);
  std::byte* const room = scratch_[0];
  float* result = y.mutable_data<float>().data();
  for (const int32_t id : now(ids)) {
    const HeldRows* const rows = find_rows(parts.held, id);
    if (rows != nullptr && rows->part == parts.part) {
      const int64_t row = id - rows->begin + rows->first;
      unpack_row(path_, blocks.layout(), blocks.get(0, row / kBlockRows, 1, room),
                 static_cast<int>(row % kBlockRows), result);
    } else {
      std::fill_n(result, width, 0.0f);
    }
    result += width;
  }
  return y;
}

Tensor CpuBackend::do_pick_rows(const Tensor& pieces, const TokenIds& ids,
                                std::span<const HeldRows> held) {
  const int64_t width = pieces.shape()[2];
  Tensor y = Tensor::empty(DType::kF32, {ids.count(), width});
  const float* const from = pieces.data<float>().data();
  float* const to = y.mutable_data<float>().data();
  const auto all = now(ids);
  for (int64_t i = 0; i < ids.count(); ++i) {
    const HeldRows* const rows = find_rows(held, all[static_cast<size_t>(i)]);
    const int64_t part = rows != nullptr ? rows->part : 0;
    std::copy_n(from + (part * ids.count() + i) * width, width, to + i * width);
  }
  return y;
}

}  // namespace strake::cpu
