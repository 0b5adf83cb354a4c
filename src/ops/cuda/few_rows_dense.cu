#include "ops/cuda/few_rows_instances.inl"

namespace strake::cuda {

template FewRowsInstance few_rows_instance<Coding::kDense>(PackedFormat, FewRowsVariant);

FewRowsInstance few_rows_instance_f16(FewRowsVariant variant) {
  return few_rows_variant<PackedType<Coding::kDense, Scaling::kNone, kTileInputs, __half>>(variant);
}

}  // namespace strake::cuda
