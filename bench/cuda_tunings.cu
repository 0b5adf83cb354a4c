// Kernels for bench/cuda_few_rows.cpp that differ in how they divide a block's shared memory.
#include <vector>

#include "ops/cuda/few_rows_instances.inl"

namespace strake::cuda {

struct TuningChoice {
  const char* name;
  PackedFormat format;
  FewRowsInstance instance;
};

namespace {

template <class Type, int Warps, int Stages, int Bytes>
TuningChoice choice(const char* name) {
  using Tuning = FewRowsTuning<Warps, Stages, Bytes>;
  using Shape = FewRowsShape<Type, Tuning>;
  return {name, Type::kFormat,
          {few_rows_kernel<Type, 1, Tuning>, Shape::kThreads, Tuning::kStages, Shape::kRingsAt,
           Shape::kStageBytes}};
}

using Mxfp8 = PackedType<Coding::kE4M3, Scaling::kE8M0, 32, __nv_bfloat16>;
using Mxfp4 = PackedType<Coding::kE2M1, Scaling::kE8M0, 32, __nv_bfloat16>;

}  // namespace

std::vector<TuningChoice> tuning_choices();
std::vector<TuningChoice> tuning_choices() {
  return {
      choice<Mxfp8, 16, 4, 2048>("mxfp8 16 4 2048"), choice<Mxfp8, 16, 2, 4096>("mxfp8 16 2 4096"),
      choice<Mxfp8, 16, 3, 3072>("mxfp8 16 3 3072"), choice<Mxfp8, 8, 4, 4096>("mxfp8 8 4 4096"),
      choice<Mxfp4, 16, 4, 2048>("mxfp4 16 4 2048"), choice<Mxfp4, 16, 2, 4096>("mxfp4 16 2 4096"),
      choice<Mxfp4, 16, 3, 1024>("mxfp4 16 3 1024"), choice<Mxfp4, 8, 4, 4096>("mxfp4 8 4 4096"),
      choice<Mxfp4, 8, 4, 2048>("mxfp4 8 4 2048"),
  };
}

}  // namespace strake::cuda
