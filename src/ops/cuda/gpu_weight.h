// A weight in a GPU's memory, as the products there read it.
#pragma once

#include <optional>

#include "ops/cuda/few_rows.h"
#include "ops/cuda/many_rows.h"
#include "strake/ops/sum_tree.h"
#include "strake/quant/weight.h"

namespace strake::cuda {

// Quantized matrices, and dense ones of bfloat16, are in fragment order; other dense ones are as
// they were, row-major.
class GpuWeight final : public PreparedWeight {
 public:
  // Copies the weight's bytes to `place` and packs them there, for products that compute these
  // sums.
  GpuWeight(const Weight& weight, const PartialSums& sums, const Place& place, cudaStream_t stream);

  const Shape& shape() const override { return shape_; }
  std::optional<Format> format() const override { return format_; }
  Device device() const override { return codes_.device(); }
  int64_t nbytes() const override { return codes_.nbytes() + (scales_ ? scales_->nbytes() : 0); }

  int64_t matrices() const { return shape_.rank() == 3 ? shape_[0] : 1; }
  // nullptr: it is packed.
  const Tensor* rows() const { return packed_ ? nullptr : &codes_; }
  // Matrix `index` of a stack, and those after it.
  PackedWeight packed(int64_t index = 0) const;
  // The order of its sums: what products are asked for, or, of an axis that is never divided, one
  // with leaves for the sake of speed.
  PartialSums sums() const { return {tree_, nodes_}; }
  bool is_divided() const { return divided_; }

 private:
  void pack_matrices(const Weight& weight, const Place& place, cudaStream_t stream);

  Shape shape_;
  std::optional<Format> format_;
  bool divided_;
  SumTree tree_;
  std::vector<int> nodes_;
  std::optional<PackedWeight> packed_;  // of the first matrix
  Tensor codes_;                        // or the rows themselves
  std::optional<Tensor> scales_;
};

// Throws Error(kUsage) for a weight that this backend has not prepared.
const GpuWeight& as_gpu_weight(const Weight& weight);

}  // namespace strake::cuda
