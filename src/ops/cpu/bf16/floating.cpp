// Floating codes with a scale, and dense bfloat16.
#include <algorithm>
#include <array>
#include <utility>

#include "ops/cpu/bf16/kernels.h"
#include "quant/codecs.h"
#include "strake/base/half.h"

#if defined(__x86_64__)
#include "ops/cpu/bf16/target.inl"

namespace strake::cpu::bf16 {
namespace {

#include "ops/cpu/bf16/products.inl"

}  // namespace

void multiply_floating(const BlockProduct& product) {
  if (product.layout.coding == Coding::kE4M3)
    return multiply<ByteTable<Floats8>, PowerScales>(product);
  if (product.layout.scaling == Scaling::kE4M3)
    return multiply<FourBitTable<16>, FloatScales8>(product);
  return multiply<FourBitTable<32>, PowerScales>(product);
}

void multiply_dense(const BlockProduct& product) {
  if (product.tiles.size() == 1 && product.tiles[0].rows <= kStreamRows)
    return multiply_by_rows<PairStreams, 1, kStreamRows>(product);
  PairPanels::multiply(product);
}

}  // namespace strake::cpu::bf16

#include "ops/cpu/bf16/target_end.inl"
#endif
