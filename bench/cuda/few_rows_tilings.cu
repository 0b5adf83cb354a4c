#include "cuda/few_rows_tilings.h"

#include "ops/cuda/few_rows_instances.inl"

namespace strake::cuda {
namespace {

template <class Type, int kWarps>
FewRowsTiling tiling(const char* name, Format format, FewRowsRing ring) {
  return {name,
          format,
          {few_rows_kernel<Type, 1, Matrices::kOne, kWarps>, kWarps * kLanes, FewRowsRings{ring}}};
}

using Mxfp8 = PackedType<Coding::kE4M3, Scaling::kE8M0, 32, __nv_bfloat16>;
using Mxfp4 = PackedType<Coding::kE2M1, Scaling::kE8M0, 32, __nv_bfloat16>;

}  // namespace

std::vector<FewRowsTiling> few_rows_tilings() {
  const Format mxfp8 = Format::parse("mxfp8"), mxfp4 = Format::parse("mxfp4");
  return {
      tiling<Mxfp8, 16>("16 warps 4 x 2048", mxfp8, {4, 2048}),
      tiling<Mxfp8, 16>("16 warps 2 x 4096", mxfp8, {2, 4096}),
      tiling<Mxfp8, 16>("16 warps 3 x 3072", mxfp8, {3, 3072}),
      tiling<Mxfp8, 8>("8 warps 4 x 4096", mxfp8, {4, 4096}),
      tiling<Mxfp8, 24>("24 warps 3 x 2048", mxfp8, {3, 2048}),
      tiling<Mxfp8, 24>("24 warps 2 x 2048", mxfp8, {2, 2048}),
      tiling<Mxfp4, 16>("16 warps 4 x 2048", mxfp4, {4, 2048}),
      tiling<Mxfp4, 16>("16 warps 2 x 4096", mxfp4, {2, 4096}),
      tiling<Mxfp4, 16>("16 warps 3 x 1024", mxfp4, {3, 1024}),
      tiling<Mxfp4, 8>("8 warps 4 x 4096", mxfp4, {4, 4096}),
      tiling<Mxfp4, 24>("24 warps 4 x 1024", mxfp4, {4, 1024}),
      tiling<Mxfp4, 24>("24 warps 3 x 2048", mxfp4, {3, 2048}),
      tiling<Mxfp4, 8>("8 warps 4 x 2048", mxfp4, {4, 2048}),
  };
}

}  // namespace strake::cuda
