// Products with dense and quantized weights, block of rows by block of rows.
#include "ops/cpu/matmul.h"

#include <algorithm>

#include "ops/cpu/cpu_backend.h"
#include "ops/cpu/scratch.h"

namespace strake::cpu {

void multiply_all(ThreadPool& pool, const Products& all) {
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
  pool.for_ranges(std::ssize(all.products) * per_matrix, [&](int64_t begin, int64_t end) {
    std::byte* const scratch = thread_scratch(bytes);
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

Weight CpuBackend::do_prepare(Weight w) {
  if (w.prepared() != nullptr) return w;
  return std::shared_ptr<const PreparedWeight>(std::make_shared<PackedWeight>(w, pool_));
}

Tensor CpuBackend::do_matmul(const Tensor& x, const Weight& w, const PartialSums& sums) {
  const int64_t rows = x.shape()[0];
  const int64_t out = w.shape()[0];
  Tensor y = Tensor::empty(DType::kF32, {static_cast<int64_t>(sums.nodes.size()), rows, out});
  if (y.elements() == 0) return y;
  const Blocks blocks(w);
  schedule_.assign(sums);
  const ProductKernels& kernels = product_kernels(path_, x.dtype(), blocks.layout(), schedule_);
  float* const result = y.mutable_data<float>().data();
  if (targets_.empty()) targets_.emplace_back();
  targets_[0].clear();
  for (int64_t m = 0; m < rows; ++m) targets_[0].push_back({m, result + m * out});
  if (products_.empty()) products_.emplace_back();
  products_[0].matrix = 0;
  products_[0].activations.assign(pool_, x, targets_[0], kernels, blocks.layout());
  multiply_all(pool_, {blocks, schedule_, kernels, std::span(products_).first(1), rows * out});
  return y;
}

Tensor CpuBackend::do_gather_matmul(const Tensor& x, const Weight& w, const GatherIndices& indices,
                                    const PartialSums& sums) {
  const auto rows = static_cast<int64_t>(indices.lhs.size());
  const int64_t out = w.shape()[1];
  Tensor y = Tensor::empty(DType::kF32, {static_cast<int64_t>(sums.nodes.size()), rows, out});
  if (y.elements() == 0) return y;
  const Blocks blocks(w);
  schedule_.assign(sums);
  const ProductKernels& kernels = product_kernels(path_, x.dtype(), blocks.layout(), schedule_);
  float* const result = y.mutable_data<float>().data();
  clear_targets(w.shape()[0]);
  for (int64_t i = 0; i < rows; ++i)
    targets_[static_cast<size_t>(indices.rhs[static_cast<size_t>(i)])].push_back(
        {indices.lhs[static_cast<size_t>(i)], result + i * out});
  multiply_all(pool_, {blocks, schedule_, kernels, assign_products(x, kernels, blocks.layout()),
                       rows * out});
  return y;
}

void CpuBackend::clear_targets(int64_t matrices) {
  targets_.resize(std::max(targets_.size(), static_cast<size_t>(matrices)));
  for (auto& targets : targets_) targets.clear();
}

std::span<const MatrixProduct> CpuBackend::assign_products(const Tensor& x,
                                                           const ProductKernels& kernels,
                                                           const BlockLayout& layout) {
  size_t used = 0;
  for (size_t matrix = 0; matrix < targets_.size(); ++matrix) {
    if (targets_[matrix].empty()) continue;
    if (used == products_.size()) products_.emplace_back();
    MatrixProduct& product = products_[used++];
    product.matrix = static_cast<int64_t>(matrix);
    product.activations.assign(pool_, x, targets_[matrix], kernels, layout);
  }
  return std::span(products_).first(used);
}

Tensor CpuBackend::do_embedding(const Weight& w, std::span<const int32_t> ids) {
  const int64_t width = w.shape()[1];
  Tensor y = Tensor::empty(DType::kF32, {static_cast<int64_t>(ids.size()), width});
  if (y.elements() == 0) return y;
  const Blocks blocks(w);
  std::byte* const room = thread_scratch(blocks.room_bytes() + kReadBeyond);
  float* const result = y.mutable_data<float>().data();
  for (size_t i = 0; i < ids.size(); ++i)
    unpack_row(path_, blocks.layout(), blocks.get(0, ids[i] / kBlockRows, 1, room),
               ids[i] % kBlockRows, result + static_cast<int64_t>(i) * width);
  return y;
}

}  // namespace strake::cpu
