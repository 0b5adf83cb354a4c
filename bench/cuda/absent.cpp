// bench_kernels where no GPU is built in.
#include "kernel_options.h"
#include "strake/base/error.h"

namespace strake {

void bench_cuda(const KernelOptions&) {
  throw Error(ErrorKind::kUnsupported, "--device cuda: not built in (STRAKE_CUDA)");
}

}  // namespace strake
