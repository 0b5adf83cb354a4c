// Products with dense and quantized weights, block of rows by block of rows.
#include "ops/cpu/matmul.h"

#include <algorithm>

#include "ops/cpu/cpu_backend.h"

namespace strake::cpu {

void multiply_all(ThreadPool& pool, Scratch& memory, const Products& all) {
  const Blocks& blocks = all.blocks;
  const ProductKernels& kernels = all.kernels;
  const int64_t per_matrix = blocks.per_matrix();
  size_t most_tiles = 0;
  int64_t most_rows = 0;
  int64_t most_blocks = 1;
  for (const MatrixProduct& product : all.products) {
    const int64_t rows = product.activations.rows();
    most_tiles = std::max(most_tiles, product.activations.tiles().size());
    most_rows = std::max(most_rows, rows);
    most_blocks = std::max<int64_t>(most_blocks, kernels.blocks_at_once(rows));
  }
  const auto tiles_at_once = static_cast<size_t>(kernels.most_tiles);
  most_rows = std::min(most_rows, int64_t{kernels.most_tiles} * kernels.most_rows);
  const size_t room =
      (static_cast<size_t>(most_blocks) * blocks.room_bytes() + kReadBeyond + 63) / 64 * 64;
  const size_t bytes = room + kernels.scratch_bytes(blocks.layout(), all.schedule, most_rows);
  memory.reserve(bytes);
  pool.for_ranges(std::ssize(all.products) * per_matrix, [&](int64_t begin, int64_t end,
                                                             int range) {
    std::byte* const scratch = memory[range];
    const KernelTurn turn(kernels, blocks.layout(), most_rows);
    for (size_t first_tile = 0; first_tile < most_tiles; first_tile += tiles_at_once)
      for (int64_t i = begin; i < end;) {
        const MatrixProduct& product = all.products[static_cast<size_t>(i / per_matrix)];
        const int64_t index = i % per_matrix;
        const int64_t count = std::min({int64_t{kernels.blocks_at_once(product.activations.rows())},
                                        per_matrix - index, end - i});
        i += count;
        const auto tiles = product.activations.tiles();
        if (first_tile >= tiles.size()) continue;
        const int64_t first = index * kBlockRows;
        kernels.multiply(
            {blocks.layout(), all.schedule, blocks.get(product.matrix, index, count, scratch),
             static_cast<int>(count), blocks.layout().block_bytes(), first,
             std::min(count * kBlockRows, blocks.outputs() - first), all.node_stride,
             tiles.subspan(first_tile, std::min(tiles_at_once, tiles.size() - first_tile)),
             scratch + room});
      }
  });
}

Weight CpuBackend::do_prepare(Weight w, const PartialSums& /*sums*/) {
  if (w.prepared() != nullptr) return w;
  return std::shared_ptr<const PreparedWeight>(
      std::make_shared<PackedWeight>(w, arrangement_of(path_), pool_));
}

Tensor CpuBackend::do_matmul(const Tensor& x, const Weight& w, const PartialSums& sums) {
  const int64_t rows = x.shape()[0];
  const int64_t out = w.shape()[0];
  Tensor y = Tensor::empty(DType::kF32, {static_cast<int64_t>(sums.nodes.size()), rows, out});
  if (y.elements() == 0) return y;
  const Blocks blocks(w, arrangement_of(path_));
  schedule_.assign(sums);
  const ProductKernels& kernels = product_kernels(path_, x, blocks.layout(), schedule_);
  float* const result = y.mutable_data<float>().data();
  targets_.clear();
  for (int64_t m = 0; m < rows; ++m) targets_.push_back({m, result + m * out});
  if (products_.empty()) products_.emplace_back();
  products_[0].matrix = 0;
  products_[0].activations.assign(pool_, x, targets_, kernels, blocks.layout());
  multiply_all(pool_, scratch_,
               {blocks, schedule_, kernels, std::span(products_).first(1), rows * out});
  return y;
}

Tensor CpuBackend::do_gather_matmul(const Tensor& x, const Weight& w, const GatherIndices& indices,
                                    const PartialSums& sums) {
  const auto rows = static_cast<int64_t>(indices.lhs.size());
  const int64_t out = w.shape()[1];
  Tensor y = Tensor::empty(DType::kF32, {static_cast<int64_t>(sums.nodes.size()), rows, out});
  if (y.elements() == 0) return y;
  const Blocks blocks(w, arrangement_of(path_));
  schedule_.assign(sums);
  const ProductKernels& kernels = product_kernels(path_, x, blocks.layout(), schedule_);
  float* const result = y.mutable_data<float>().data();
  groups_.assign(indices.rhs, w.shape()[0]);
  targets_.clear();
  for (const int64_t i : groups_.items())
    targets_.push_back({indices.lhs[static_cast<size_t>(i)], result + i * out});
  multiply_all(
      pool_, scratch_,
      {blocks, schedule_, kernels, assign_products(x, kernels, blocks.layout()), rows * out});
  return y;
}

std::span<const MatrixProduct> CpuBackend::assign_products(const Tensor& x,
                                                           const ProductKernels& kernels,
                                                           const BlockLayout& layout) {
  size_t used = 0;
  std::span<const RowTarget> rest = targets_;
  for (int64_t matrix = 0; matrix < groups_.groups(); ++matrix) {
    const size_t rows = groups_[matrix].size();
    if (rows == 0) continue;
    if (used == products_.size()) products_.emplace_back();
    MatrixProduct& product = products_[used++];
    product.matrix = matrix;
    product.activations.assign(pool_, x, rest.first(rows), kernels, layout);
    rest = rest.subspan(rows);
  }
  return std::span(products_).first(used);
}

}  // namespace strake::cpu
