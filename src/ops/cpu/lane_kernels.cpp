#include "ops/cpu/lane_kernels.h"

namespace strake::cpu {

// Queries, a block of 64 transposed keys, their scores, and a vector of totals a row.
size_t attention_scratch(int64_t width) {
  const int64_t units = (width + 15) / 16 * 16;
  return static_cast<size_t>(kQueryRows * (2 * units + 64 + 16)) * sizeof(float);
}

// Queries, a block of 64 transposed keys, scores of up to 8 queries, and their sums.
size_t index_scratch(int64_t width, int64_t queries) {
  const int64_t units = (width + 15) / 16 * 16;
  return static_cast<size_t>((queries + 64) * units + (8 + 1) * 64) * sizeof(float);
}

const LaneKernels& lane_kernels(Path path) {
  switch (path) {
#if defined(__x86_64__)
    case Path::kAmx:
    case Path::kAvx512:
      return avx512_lane_kernels();
    case Path::kAvx2:
      return avx2_lane_kernels();
#else
    case Path::kAmx:
    case Path::kAvx512:
    case Path::kAvx2:
#endif
    case Path::kPortable:
      break;
  }
  return portable_lane_kernels();
}

}  // namespace strake::cpu
