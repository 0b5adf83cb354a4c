// Integer codes, with scales and biases.
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

void multiply_affine(const BlockProduct& product) {
  switch (product.layout.coding) {
    case Coding::kU2:
      return multiply<Integers<2>, AffineScales>(product);
    case Coding::kU3:
      return multiply<Integers<3>, AffineScales>(product);
    case Coding::kU4:
      return multiply<Integers<4>, AffineScales>(product);
    case Coding::kU5:
      return multiply<Integers<5>, AffineScales>(product);
    case Coding::kU6:
      return multiply<Integers<6>, AffineScales>(product);
    default:
      return multiply<ByteTable<OddIntegers>, AffineScales>(product);
  }
}

}  // namespace strake::cpu::bf16

#include "ops/cpu/bf16/target_end.inl"
#endif
