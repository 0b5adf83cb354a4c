#include "cuda/few_rows_tilings.h"

#include "ops/cuda/few_rows_instances.inl"

namespace strake::cuda {
namespace {

template <class Type, int Warps, int Stages, int Bytes>
FewRowsTiling tiling(const char* name, Format format) {
  using Tuning = FewRowsTuning<Warps, Stages, Bytes>;
  using Shape = FewRowsShape<Type, Tuning>;
  return {name,
          format,
          {few_rows_kernel<Type, 1, Tuning>, Shape::kThreads, Tuning::kStages, Shape::kRingsAt,
           Shape::kStageBytes}};
}

using Mxfp8 = PackedType<Coding::kE4M3, Scaling::kE8M0, 32, __nv_bfloat16>;
using Mxfp4 = PackedType<Coding::kE2M1, Scaling::kE8M0, 32, __nv_bfloat16>;

}  // namespace

std::vector<FewRowsTiling> few_rows_tilings() {
  const Format mxfp8 = Format::parse("mxfp8"), mxfp4 = Format::parse("mxfp4");
  return {
      tiling<Mxfp8, 16, 4, 2048>("16 warps 4 x 2048", mxfp8),
      tiling<Mxfp8, 16, 2, 4096>("16 warps 2 x 4096", mxfp8),
      tiling<Mxfp8, 16, 3, 3072>("16 warps 3 x 3072", mxfp8),
      tiling<Mxfp8, 8, 4, 4096>("8 warps 4 x 4096", mxfp8),
      tiling<Mxfp8, 24, 3, 2048>("24 warps 3 x 2048", mxfp8),
      tiling<Mxfp8, 24, 2, 2048>("24 warps 2 x 2048", mxfp8),
      tiling<Mxfp4, 16, 4, 2048>("16 warps 4 x 2048", mxfp4),
      tiling<Mxfp4, 16, 2, 4096>("16 warps 2 x 4096", mxfp4),
      tiling<Mxfp4, 16, 3, 1024>("16 warps 3 x 1024", mxfp4),
      tiling<Mxfp4, 8, 4, 4096>("8 warps 4 x 4096", mxfp4),
      tiling<Mxfp4, 24, 4, 1024>("24 warps 4 x 1024", mxfp4),
      tiling<Mxfp4, 24, 3, 2048>("24 warps 3 x 2048", mxfp4),
      tiling<Mxfp4, 8, 4, 2048>("8 warps 4 x 2048", mxfp4),
  };
}

}  // namespace strake::cuda
