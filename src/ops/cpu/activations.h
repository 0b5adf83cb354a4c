// Activation rows as product kernels read them.
#pragma once

#include <span>
#include <vector>

#include "ops/cpu/product.h"
#include "strake/base/thread_pool.h"
#include "strake/tensor/tensor.h"

namespace strake::cpu {

// Rows of x, each with the place of its results.
struct RowTarget {
  int64_t row;
  float* out;
};

// The tiles of rows that one weight multiplies: copies of x, input by input side by side, and,
// where the weight has biases, x's sums over its groups.
class Activations {
 public:
  // Replaces what was there, in its memory.
  void assign(ThreadPool& pool, const Tensor& x, std::span<const RowTarget> rows,
              const ProductKernels& kernels, const BlockLayout& layout);

  std::span<const Tile> tiles() const { return tiles_; }
  int64_t rows() const { return static_cast<int64_t>(out_.size()); }

 private:
  std::vector<std::byte> x_;
  std::vector<float> sums_;
  std::vector<float*> out_;
  std::vector<Tile> tiles_;
};

}  // namespace strake::cpu
