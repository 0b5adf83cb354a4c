// Products with float32 activations on the path of this file's name.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "ops/cpu/lanes.h"
#include "ops/cpu/product.h"
#include "quant/codecs.h"
#include "strake/base/half.h"

#if defined(__x86_64__)
#include <immintrin.h>

#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c,bmi2")

namespace strake::cpu {
namespace {

#include "ops/cpu/product_lanes.inl"

}  // namespace

const FloatKernels& avx512_float_kernels() { return kKernels; }

}  // namespace strake::cpu

#pragma GCC pop_options
#endif
