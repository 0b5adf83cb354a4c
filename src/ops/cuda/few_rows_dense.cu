#include "ops/cuda/few_rows_instances.inl"

namespace strake::cuda {

template FewRowsInstance few_rows_instance<Coding::kDense>(PackedFormat, int);

FewRowsInstance few_rows_instance_f16(int octets) {
  return few_rows_kernels<PackedType<Coding::kDense, Scaling::kNone, kTileInputs, __half>>(octets);
}

}  // namespace strake::cuda
