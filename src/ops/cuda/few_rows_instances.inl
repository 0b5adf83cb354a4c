// Included by the sources that define few_rows_instance().
#include "ops/cuda/few_rows_block.h"
#include "ops/cuda/few_rows_instances.h"

namespace strake::cuda {

inline constexpr int kFewRowsWarps = 16;

template <class Type, Matrices kMatrices, int kOctets>
FewRowsInstance few_rows_of_octets() {
  return {.kernel = few_rows_kernel<Type, kOctets, kMatrices, kFewRowsWarps>,
          .threads = kFewRowsWarps * kLanes,
          .octets = kOctets};
}

template <class Type, Matrices kMatrices>
FewRowsInstance few_rows_kernels(int octets) {
  // Scales of 32 bits are rare: fewer kernels to compile for each format.
  if constexpr (Type::kFormat.scaling != Scaling::kAffine32)
    if (octets == 1) return few_rows_of_octets<Type, kMatrices, 1>();
  return few_rows_of_octets<Type, kMatrices, 2>();
}

template <class Type>
FewRowsInstance few_rows_variant(FewRowsVariant variant) {
  switch (variant.matrices) {
    case Matrices::kOne:
      return few_rows_kernels<Type, Matrices::kOne>(variant.octets);
    case Matrices::kApart:
      return few_rows_kernels<Type, Matrices::kApart>(variant.octets);
    case Matrices::kMixed:
      return few_rows_kernels<Type, Matrices::kMixed>(variant.octets);
  }
  return {};
}

template <Coding kCoding, Scaling kScaling, int... kGroups>
FewRowsInstance few_rows_of_groups(int group, FewRowsVariant variant) {
  FewRowsInstance found;
  ((group == kGroups
        ? found = few_rows_variant<PackedType<kCoding, kScaling, kGroups, __nv_bfloat16>>(variant)
        : found),
   ...);
  return found;
}

template <Coding kCoding>
FewRowsInstance few_rows_instance(PackedFormat format, FewRowsVariant variant) {
  if constexpr (kCoding == Coding::kDense) {
    return few_rows_of_groups<kCoding, Scaling::kNone, 64>(64, variant);
  } else if constexpr (kCoding == Coding::kE2M1) {
    if (format.scaling == Scaling::kE4M3)
      return few_rows_of_groups<kCoding, Scaling::kE4M3, 16>(format.group, variant);
    return few_rows_of_groups<kCoding, Scaling::kE8M0, 32>(format.group, variant);
  } else if constexpr (kCoding == Coding::kE4M3) {
    return few_rows_of_groups<kCoding, Scaling::kE8M0, 32>(format.group, variant);
  } else {
    if (format.scaling == Scaling::kAffine32)
      return few_rows_of_groups<kCoding, Scaling::kAffine32, 32, 64, 128>(format.group, variant);
    return few_rows_of_groups<kCoding, Scaling::kAffine16, 32, 64, 128>(format.group, variant);
  }
}

}  // namespace strake::cuda
