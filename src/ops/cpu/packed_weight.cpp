#include "ops/cpu/packed_weight.h"

#include <algorithm>
#include <string_view>

#include "base/fail.h"

namespace strake::cpu {
namespace {

// Matrices of a weight: one, or a stack's.
int64_t matrices_of(const Shape& shape) { return shape.rank() == 3 ? shape[0] : 1; }

void pack(const Weight& weight, const BlockLayout& layout, int64_t matrix, int64_t index,
          std::byte* block) {
  const int64_t rows = weight.shape()[-2];
  const int64_t first = index * kBlockRows;
  pack_block(weight, layout, matrix * rows + first, std::min<int64_t>(kBlockRows, rows - first),
             block);
}

std::string_view name_of(Arrangement arrangement) {
  return arrangement == Arrangement::kPairs ? "pairs" : "quads";
}

const PackedWeight* as_packed(const Weight& weight, Arrangement arrangement) {
  if (weight.prepared() == nullptr) return nullptr;
  const auto* packed = dynamic_cast<const PackedWeight*>(weight.prepared());
  if (packed == nullptr)
    fail(ErrorKind::kUsage, "weight {}: prepared for another backend than cpu",
         weight.shape().to_string());
  if (packed->layout().arrangement != arrangement)
    fail(ErrorKind::kUsage, "weight {}: packed in {} expected on this path, found {}",
         weight.shape().to_string(), name_of(arrangement), name_of(packed->layout().arrangement));
  return packed;
}

}  // namespace

PackedWeight::PackedWeight(const Weight& weight, Arrangement arrangement, ThreadPool& pool)
    : shape_(weight.shape()),
      format_(weight.format()),
      layout_(BlockLayout::of(weight, arrangement)),
      bytes_(Tensor::empty(
          DType::kU8,
          {matrices_of(shape_) * blocks_of(shape_[-2]) * layout_.block_bytes() + kReadBeyond})) {
  const int64_t per_matrix = blocks_of(shape_[-2]);
  std::byte* const bytes = bytes_.mutable_bytes().data();
  pool.for_ranges(matrices_of(shape_) * per_matrix, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      pack(weight, layout_, i / per_matrix, i % per_matrix, bytes + i * layout_.block_bytes());
  });
}

Blocks::Blocks(const Weight& weight, Arrangement arrangement)
    : weight_(weight),
      packed_(as_packed(weight, arrangement)),
      layout_(packed_ != nullptr ? packed_->layout() : BlockLayout::of(weight, arrangement)),
      outputs_(weight.shape()[-2]) {}

const std::byte* Blocks::get(int64_t matrix, int64_t first, int64_t count, std::byte* room) const {
  if (packed_ != nullptr) return packed_->block(matrix * per_matrix() + first);
  for (int64_t i = 0; i < count; ++i)
    pack(weight_, layout_, matrix, first + i, room + i * layout_.block_bytes());
  return room;
}

size_t Blocks::room_bytes() const {
  return packed_ != nullptr ? 0 : static_cast<size_t>(layout_.block_bytes());
}

}  // namespace strake::cpu
