// Kernels for float16 x with affine weights.
#include "ops/cuda/many_rows_start_sm90.h"

namespace strake::cuda {

template void start_wgmma<F16Fragment<Coding::kUInt2>>(const ManyRowsStart& start);
template void start_wgmma<F16Fragment<Coding::kUInt3>>(const ManyRowsStart& start);
template void start_wgmma<F16Fragment<Coding::kUInt4>>(const ManyRowsStart& start);
template void start_wgmma<F16Fragment<Coding::kUInt5>>(const ManyRowsStart& start);
template void start_wgmma<F16Fragment<Coding::kUInt6>>(const ManyRowsStart& start);
template void start_wgmma<F16Fragment<Coding::kUInt8>>(const ManyRowsStart& start);

}  // namespace strake::cuda
