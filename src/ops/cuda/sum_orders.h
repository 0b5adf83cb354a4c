// Sum trees as kernels are told them. Host only.
#pragma once

#include <cstdint>

#include "ops/cuda/sum_steps.h"
#include "strake/ops/sum_tree.h"

namespace strake::cuda {

// How the sums of the nodes, a cover of the whole tree, combine to the root.
SumSteps root_steps(const PartialSums& sums);

// The tree of a contraction axis that is never divided: its leaves only let more processors work on
// a sum. They depend on the extent and on the unit that stays together alone.
SumTree parallel_tree(int64_t extent, int64_t unit);

}  // namespace strake::cuda
