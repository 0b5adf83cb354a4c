// Products with quantized matrices under MLX's names, for arrays of any number of axes.
#pragma once

#include <optional>

#include "strake/ops/backend.h"
#include "strake/quant/quantized_matrix.h"

namespace strake {

// y = x W^T: x floating [..., M, K] or [K], w [N, K] -> [..., M, N] or [N]. A stack w [E, N, K]
// needs x [..., M, K] with 3 axes or more, whose leading axes are broadcast against [E].
// Sums are float32, rounded once: to the common type of x, scales and biases for affine, to the
// type of x for the other modes. Throws Error(kUsage) when dtypes or shapes do not fit.
Tensor quantized_matmul(Backend& backend, const Tensor& x, const QuantizedMatrix& w);

// Result i is x[lhs[i]] W[rhs[i]]^T: x floating [..., M, K] counted by its leading axes, flattened;
// w [E, N, K] or [N, K]. The integer index arrays are broadcast together, and the result is
// [their shape, M, N]. A missing one counts 0, 1, ... in the shape of the leading axes; without
// both this is quantized_matmul. Throws Error(kUsage) also for an index out of range.
Tensor gather_qmm(Backend& backend, const Tensor& x, const QuantizedMatrix& w,
                  const std::optional<Tensor>& lhs_indices,
                  const std::optional<Tensor>& rhs_indices);

}  // namespace strake
