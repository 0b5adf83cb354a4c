// The kernels that there are of few_rows_block.h, by format.
#pragma once

#include "ops/cuda/few_rows.h"

namespace strake::cuda {

struct FewRowsInstance {
  void (*kernel)(FewRowsParameters) = nullptr;
  int threads = 0;
  int stages = 0;         // of rings, at most
  int barrier_bytes = 0;  // of shared memory, before rings
  int stage_bytes = 0;    // of a stage of all warps
};

// A kernel with 8 * octets columns. Each defined in a source of its own: they take long to compile.
template <Coding kCoding>
FewRowsInstance few_rows_instance(PackedFormat format, int octets);
// Dense codes are bfloat16, or float16 that multiply float16.
FewRowsInstance few_rows_instance_f16(int octets);

extern template FewRowsInstance few_rows_instance<Coding::kUInt2>(PackedFormat, int);
extern template FewRowsInstance few_rows_instance<Coding::kUInt3>(PackedFormat, int);
extern template FewRowsInstance few_rows_instance<Coding::kUInt4>(PackedFormat, int);
extern template FewRowsInstance few_rows_instance<Coding::kUInt5>(PackedFormat, int);
extern template FewRowsInstance few_rows_instance<Coding::kUInt6>(PackedFormat, int);
extern template FewRowsInstance few_rows_instance<Coding::kUInt8>(PackedFormat, int);
extern template FewRowsInstance few_rows_instance<Coding::kE2M1>(PackedFormat, int);
extern template FewRowsInstance few_rows_instance<Coding::kE4M3>(PackedFormat, int);
extern template FewRowsInstance few_rows_instance<Coding::kDense>(PackedFormat, int);

struct FewRowsPlace {
  Order order;
  cudaStream_t stream;
};
// few_rows() with a kernel that is not the one chosen for the call, for measurements; or with that.
void few_rows_by(const FewRowsInstance* other, const FewRowsCall& call, const FewRowsDevice& device,
                 const FewRowsWorkspace& workspace, FewRowsPlace place);

}  // namespace strake::cuda
