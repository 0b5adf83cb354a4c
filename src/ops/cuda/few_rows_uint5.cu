#include "ops/cuda/few_rows_instances.inl"

namespace strake::cuda {

template FewRowsInstance few_rows_instance<Coding::kUInt5>(PackedFormat, FewRowsVariant);

}  // namespace strake::cuda
