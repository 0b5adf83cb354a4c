// Attention, norms and activations on the path of this file's name.
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <type_traits>
#include <utility>

#include "ops/cpu/lane_kernels.h"
#include "strake/base/half.h"

#if defined(__x86_64__)
#include <immintrin.h>

#pragma GCC push_options
// The intrinsics of g++ 12 begin from values that they call undefined.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC target( \
    "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma,f16c,bmi2,prefer-vector-width=512")

#define STRAKE_LANES 16

namespace strake::cpu {
namespace {

#include "ops/cpu/lane_vectors.inl"
// The vectors come first.
#include "ops/cpu/lane_attention.inl"
// Uses attention's scores.
#include "ops/cpu/lane_indexer.inl"
// The table of all comes last.
#include "ops/cpu/lane_elementwise.inl"

}  // namespace

const LaneKernels& avx512_lane_kernels() { return kKernels; }

}  // namespace strake::cpu

#pragma GCC pop_options
#endif
