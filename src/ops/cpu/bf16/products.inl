// Products with bfloat16 activations: what the sources of this folder instantiate.
//
// A lane of `vdpbf16ps` sums a pair of products in float32, so one instruction takes a pair of
// inputs of 16 rows. Codes become exact bfloat16 values in registers; a group's sum is multiplied
// by its scale in float32. Few activation rows take the codes as they come; for many they are
// unpacked once into panels. All do the same arithmetic in the same order.

#define STRAKE_INLINE_BODY __attribute__((always_inline))
#define STRAKE_INLINE STRAKE_INLINE_BODY inline

// A node's sums of 16 rows of weight and a row of activations, into its results.
STRAKE_INLINE_BODY inline void put(const BlockProduct& product, int block, const SumCursor& cursor,
                                   float* out, __m512 sum) {
  const int64_t wanted = std::clamp<int64_t>(product.outputs - block * kBlockRows, 0, kBlockRows);
  _mm512_mask_storeu_ps(
      out + cursor.step->node * product.node_stride + product.first_output + block * kBlockRows,
      static_cast<__mmask16>((1u << wanted) - 1),
      _mm512_mul_ps(sum, _mm512_set1_ps(product.layout.tensor_scale)));
}

// Each uses the ones before.
// clang-format off
#include "ops/cpu/bf16/codings.inl"
#include "ops/cpu/bf16/streams.inl"
#include "ops/cpu/bf16/blocks.inl"
#include "ops/cpu/bf16/panels.inl"
// clang-format on

// Kernel::multiply<First> to <Last>, by the rows of the only tile.
template <class Kernel, int First, int Last>
void multiply_by_rows(const BlockProduct& product) {
  using Multiply = void (*)(const BlockProduct&);
  static constexpr auto kByRows = []<int... I>(std::integer_sequence<int, I...>) {
    return std::array<Multiply, sizeof...(I)>{Kernel::template multiply<First + I>...};
  }
  (std::make_integer_sequence<int, Last - First + 1>());
  kByRows[static_cast<size_t>(product.tiles[0].rows - First)](product);
}

template <class Code, class Scales>
void multiply(const BlockProduct& product) {
  const int rows = product.tiles.size() == 1 ? product.tiles[0].rows : kPanelRows;
  if (rows <= kStreamRows)
    return multiply_by_rows<CodeStreams<Code, Scales>, 1, kStreamRows>(product);
  if (rows <= kDirectRows)
    return multiply_by_rows<DirectBlocks<Code, Scales>, kStreamRows + 1, kDirectRows>(product);
  CodePanels<Code, Scales>::multiply(product);
}
