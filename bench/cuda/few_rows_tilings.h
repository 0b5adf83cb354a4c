// Kernels for few rows that differ in how they divide a block's shared memory.
#pragma once

#include <vector>

#include "ops/cuda/few_rows_instances.h"
#include "strake/quant/format.h"

namespace strake::cuda {

struct FewRowsTiling {
  const char* name;
  Format format;
  FewRowsInstance instance;  // for one row
};
std::vector<FewRowsTiling> few_rows_tilings();

}  // namespace strake::cuda
