#include "ops/cuda/few_rows_instances.inl"

namespace strake::cuda {

template FewRowsInstance few_rows_instance<Coding::kE2M1>(PackedFormat, FewRowsVariant);

}  // namespace strake::cuda
