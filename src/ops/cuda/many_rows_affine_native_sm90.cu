// Kernels for bfloat16 x with affine weights that have scales of bfloat16.
#include "ops/cuda/many_rows_start_sm90.h"

namespace strake::cuda {

template void start_wgmma<NativeFragment<Coding::kUInt2>>(const ManyRowsStart& start);
template void start_wgmma<NativeFragment<Coding::kUInt3>>(const ManyRowsStart& start);
template void start_wgmma<NativeFragment<Coding::kUInt4>>(const ManyRowsStart& start);
template void start_wgmma<NativeFragment<Coding::kUInt5>>(const ManyRowsStart& start);
template void start_wgmma<NativeFragment<Coding::kUInt6>>(const ManyRowsStart& start);
template void start_wgmma<NativeFragment<Coding::kUInt8>>(const ManyRowsStart& start);

}  // namespace strake::cuda
