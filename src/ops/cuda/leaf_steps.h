// A part of a sum tree as kernels have it. Host only.
#pragma once

#include "ops/cuda/few_rows_parameters.h"
#include "strake/ops/sum_tree.h"

namespace strake::cuda {

// The leaves below the nodes, in order, as the contraction axis of the operands at hand. Throws
// Error(kInternal) where there are more than kMaxLeaves.
Leaves leaves_of(const PartialSums& sums);
LeafSteps steps_of(const PartialSums& sums);

}  // namespace strake::cuda
