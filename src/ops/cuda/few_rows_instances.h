// The kernels that there are of few_rows_block.h, by format.
#pragma once

#include "ops/cuda/few_rows.h"
#include "ops/cuda/few_rows_plan.h"

namespace strake::cuda {

struct FewRowsInstance {
  void (*kernel)(FewRowsParameters) = nullptr;
  int threads = 0;
  FewRowsRings rings = kFewRowsRings;
  int octets = 1;  // of columns that it has
};

struct FewRowsVariant {
  int octets;  // of columns that it needs: 1 or 2
  Matrices matrices;
};

// Each defined in a source of its own: they take long to compile.
template <Coding kCoding>
FewRowsInstance few_rows_instance(PackedFormat format, FewRowsVariant variant);
// Dense codes are bfloat16, or float16 that multiply float16.
FewRowsInstance few_rows_instance_f16(FewRowsVariant variant);

extern template FewRowsInstance few_rows_instance<Coding::kUInt2>(PackedFormat, FewRowsVariant);
extern template FewRowsInstance few_rows_instance<Coding::kUInt3>(PackedFormat, FewRowsVariant);
extern template FewRowsInstance few_rows_instance<Coding::kUInt4>(PackedFormat, FewRowsVariant);
extern template FewRowsInstance few_rows_instance<Coding::kUInt5>(PackedFormat, FewRowsVariant);
extern template FewRowsInstance few_rows_instance<Coding::kUInt6>(PackedFormat, FewRowsVariant);
extern template FewRowsInstance few_rows_instance<Coding::kUInt8>(PackedFormat, FewRowsVariant);
extern template FewRowsInstance few_rows_instance<Coding::kE2M1>(PackedFormat, FewRowsVariant);
extern template FewRowsInstance few_rows_instance<Coding::kE4M3>(PackedFormat, FewRowsVariant);
extern template FewRowsInstance few_rows_instance<Coding::kDense>(PackedFormat, FewRowsVariant);

struct FewRowsPlace {
  Order order;
  cudaStream_t stream;
};
// few_rows() with a kernel that is not the one chosen for the call, for measurements; or with that.
void few_rows_by(const FewRowsInstance* other, const FewRowsCall& call, const FewRowsDevice& device,
                 const FewRowsWorkspace& workspace, FewRowsPlace place);

}  // namespace strake::cuda
