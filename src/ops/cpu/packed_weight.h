// A weight in the layout of the matmul kernels.
#pragma once

#include "ops/cpu/block_layout.h"
#include "strake/base/thread_pool.h"
#include "strake/quant/weight.h"

namespace strake::cpu {

// All blocks of a weight [out, in] or of a stack [experts, out, in], matrix by matrix; the last
// block of each matrix is filled up with zeros.
class PackedWeight final : public PreparedWeight {
 public:
  // Packs on the threads of `pool`, each the blocks that it will multiply: memory belongs to the
  // node of the thread that first writes it.
  PackedWeight(const Weight& weight, Arrangement arrangement, ThreadPool& pool);

  const Shape& shape() const override { return shape_; }
  std::optional<Format> format() const override { return format_; }
  Device device() const override { return Device::cpu(); }
  int64_t nbytes() const override { return bytes_.nbytes(); }

  const BlockLayout& layout() const { return layout_; }
  const std::byte* block(int64_t index) const {
    return bytes_.bytes().data() + index * layout_.block_bytes();
  }

 private:
  Shape shape_;
  std::optional<Format> format_;
  BlockLayout layout_;
  Tensor bytes_;
};

// Blocks of 16 rows that `rows` rows take.
constexpr int64_t blocks_of(int64_t rows) { return (rows + kBlockRows - 1) / kBlockRows; }

// A product's weight, packed before or block by block as it is asked for.
class Blocks {
 public:
  // Throws Error(kUsage) when the weight was packed in another arrangement.
  Blocks(const Weight& weight, Arrangement arrangement);

  const BlockLayout& layout() const { return layout_; }
  int64_t outputs() const { return outputs_; }  // of a matrix
  int64_t per_matrix() const { return blocks_of(outputs_); }
  // Blocks [first, first + count) of a stack's matrix, one after the other; `room` has room for
  // them.
  const std::byte* get(int64_t matrix, int64_t first, int64_t count, std::byte* room) const;
  // Bytes of `room` for a block; 0 where they are packed already.
  size_t room_bytes() const;

 private:
  const Weight& weight_;
  const PackedWeight* packed_;
  BlockLayout layout_;
  int64_t outputs_;
};

}  // namespace strake::cpu
