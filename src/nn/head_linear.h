// A matrix for each attention head (MLX's MultiLinear).
#pragma once

#include <cstdint>

#include "strake/nn/context.h"
#include "strake/shard/partition.h"

namespace strake {

// y = x W^T with the head's own W; whole heads are on one rank.
class HeadLinear {
 public:
  explicit HeadLinear(Weight weight);  // [heads of this rank, out, in]

  // x floating [rows, heads, at least in] -> `dtype` [rows, heads, out]: of each head its first
  // columns.
  Tensor forward(Context& context, const Tensor& x, DType dtype) const;
  // Every row with each of these heads' matrices: x [rows, in] -> [heads, rows, out].
  Tensor spread(Context& context, const Tensor& x, Range heads, DType dtype) const;
  // The same with the matrices turned over: x [rows, out] -> [heads, rows, in]. They are turned for
  // this call alone, which pays where rows are many.
  Tensor spread_turned(Context& context, const Tensor& x, Range heads, DType dtype) const;

  int64_t heads() const { return weight_.shape()[0]; }
  int64_t outputs() const { return weight_.shape()[1]; }

 private:
  Weight weight_;
  SumTree tree_;  // the inputs are not divided
};

}  // namespace strake
