#include "ops/cpu/product.h"

#include "ops/cpu/amx/kernels.h"

namespace strake::cpu {
namespace {

const FloatKernels& float_kernels(Path path) {
  switch (path) {
#if defined(__x86_64__)
    case Path::kAmx:
    case Path::kAvx512:
      return avx512_float_kernels();
    case Path::kAvx2:
      return avx2_float_kernels();
#else
    case Path::kAmx:
    case Path::kAvx512:
    case Path::kAvx2:
#endif
    case Path::kPortable:
      break;
  }
  return portable_float_kernels();
}

}  // namespace

const ProductKernels& product_kernels(Path path, const Tensor& x, const BlockLayout& layout,
                                      const SumSchedule& schedule) {
#if defined(__x86_64__)
  // These kernels take pairs of inputs.
  const bool pairs = layout.coding != Coding::kFloat && schedule.unit % 2 == 0;
  const bool bf16 = x.dtype() == DType::kBF16 && pairs;
  if (path == Path::kAmx && bf16 && amx::takes(layout, schedule)) return amx_kernels();
  if ((path == Path::kAmx || path == Path::kAvx512) && bf16) return avx512_bf16_kernels();
  if (path == Path::kAvx2 && pairs) return avx2_kernels(x);
#endif
  return float_kernels(path).products;
}

void unpack_row(Path path, const BlockLayout& layout, const std::byte* block, int row, float* out) {
  float_kernels(path).unpack_row(layout, block, row, out);
}

}  // namespace strake::cpu
