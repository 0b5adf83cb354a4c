#include "ops/cpu/amx/kernels.h"

#include <algorithm>
#include <array>
#include <bit>
#include <utility>

#include "ops/cpu/amx/tiles.h"
#include "ops/cpu/bf16/kernels.h"
#include "quant/codecs.h"
#include "strake/base/half.h"

#if defined(__x86_64__)
#include "ops/cpu/bf16/target.inl"

namespace strake::cpu {
namespace bf16 {
namespace {

#include "ops/cpu/bf16/products.inl"

}  // namespace
}  // namespace bf16

namespace amx {
namespace {

// clang-format off
#include "ops/cpu/amx/one_row.inl"
#include "ops/cpu/amx/products.inl"
// clang-format on

}  // namespace
}  // namespace amx

const ProductKernels& amx_kernels() { return amx::kernels<amx::ProcessorTiles>(); }

}  // namespace strake::cpu

#include "ops/cpu/bf16/target_end.inl"
#endif
