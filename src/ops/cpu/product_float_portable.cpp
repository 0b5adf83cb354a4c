// Products with float32 activations on the path of this file's name.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "ops/cpu/lanes.h"
#include "ops/cpu/product.h"
#include "quant/codecs.h"
#include "strake/base/half.h"

namespace strake::cpu {
namespace {

#include "ops/cpu/product_lanes.inl"

}  // namespace

const FloatKernels& portable_float_kernels() { return kKernels; }

}  // namespace strake::cpu
