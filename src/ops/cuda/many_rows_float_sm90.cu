// Kernels for formats of floating codes, and for dense weights.
#include "ops/cuda/many_rows_start_sm90.h"

namespace strake::cuda {

template void start_wgmma<E2M1Fragment>(const ManyRowsStart& start);
template void start_wgmma<E4M3Fragment>(const ManyRowsStart& start);
template void start_wgmma<Bf16Dense>(const ManyRowsStart& start);
template void start_wgmma<F16Dense>(const ManyRowsStart& start);

}  // namespace strake::cuda
