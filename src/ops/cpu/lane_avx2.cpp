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
#pragma GCC target("avx2,fma,f16c")

#define STRAKE_LANES 8

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

const LaneKernels& avx2_lane_kernels() { return kKernels; }

}  // namespace strake::cpu

#pragma GCC pop_options
#endif
