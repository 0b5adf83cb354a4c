// Included by the sources that define few_rows_instance().
#include "ops/cuda/few_rows_block.h"
#include "ops/cuda/few_rows_instances.h"

namespace strake::cuda {

#ifndef STRAKE_FEW_ROWS_TUNING
#define STRAKE_FEW_ROWS_TUNING 16, 4, 2048
#endif
using DefaultTuning = FewRowsTuning<STRAKE_FEW_ROWS_TUNING>;

template <class Type, class Tuning = DefaultTuning>
FewRowsInstance few_rows_kernels(int octets) {
  using Shape = FewRowsShape<Type, Tuning>;
  void (*kernel)(FewRowsParameters) = few_rows_kernel<Type, 2, Tuning>;
  // Scales of 32 bits are rare: one kernel less to compile for each format.
  if constexpr (Type::kFormat.scaling != Scaling::kAffine32)
    if (octets == 1) kernel = few_rows_kernel<Type, 1, Tuning>;
  return {kernel, Shape::kThreads, Tuning::kStages, Shape::kRingsAt, Shape::kStageBytes};
}

template <Coding kCoding, Scaling kScaling, int... kGroups>
FewRowsInstance few_rows_of_groups(int group, int octets) {
  FewRowsInstance found;
  ((group == kGroups ? found = few_rows_kernels<PackedType<kCoding, kScaling, kGroups,
                                                           __nv_bfloat16>>(octets)
                     : found),
   ...);
  return found;
}

template <Coding kCoding>
FewRowsInstance few_rows_instance(PackedFormat format, int octets) {
  if constexpr (kCoding == Coding::kDense) {
    return few_rows_of_groups<kCoding, Scaling::kNone, 64>(64, octets);
  } else if constexpr (kCoding == Coding::kE2M1) {
    if (format.scaling == Scaling::kE4M3)
      return few_rows_of_groups<kCoding, Scaling::kE4M3, 16>(format.group, octets);
    return few_rows_of_groups<kCoding, Scaling::kE8M0, 32>(format.group, octets);
  } else if constexpr (kCoding == Coding::kE4M3) {
    return few_rows_of_groups<kCoding, Scaling::kE8M0, 32>(format.group, octets);
  } else {
    if (format.scaling == Scaling::kAffine32)
      return few_rows_of_groups<kCoding, Scaling::kAffine32, 32, 64, 128>(format.group, octets);
    return few_rows_of_groups<kCoding, Scaling::kAffine16, 32, 64, 128>(format.group, octets);
  }
}

}  // namespace strake::cuda
