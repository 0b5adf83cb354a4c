// Element types of tensors.
#pragma once

#include <cstdint>
#include <string_view>

#include "strake/base/half.h"

namespace strake {

enum class DType : uint8_t {
  kF32,
  kF16,
  kBF16,
  kU8,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kU64,
  kI64,
  kBool
};

struct DTypeTraits {
  DType dtype;
  std::string_view name;  // as safetensors spells it
  int size;               // bytes an element
  bool floating;
};

inline constexpr DTypeTraits kDTypes[] = {
    {DType::kF32, "F32", 4, true},   {DType::kF16, "F16", 2, true},
    {DType::kBF16, "BF16", 2, true}, {DType::kU8, "U8", 1, false},
    {DType::kI8, "I8", 1, false},    {DType::kU16, "U16", 2, false},
    {DType::kI16, "I16", 2, false},  {DType::kU32, "U32", 4, false},
    {DType::kI32, "I32", 4, false},  {DType::kU64, "U64", 8, false},
    {DType::kI64, "I64", 8, false},  {DType::kBool, "BOOL", 1, false},
};

constexpr const DTypeTraits& traits(DType dtype) { return kDTypes[static_cast<int>(dtype)]; }
constexpr int size_of(DType dtype) { return traits(dtype).size; }
constexpr std::string_view to_string(DType dtype) { return traits(dtype).name; }
constexpr bool is_floating(DType dtype) { return traits(dtype).floating; }

// The DType of a C++ element type.
template <class T>
inline constexpr DType dtype_of = [] {
  static_assert(sizeof(T) == 0, "no DType for this type");
  return DType::kF32;
}();
template <>
inline constexpr DType dtype_of<float> = DType::kF32;
template <>
inline constexpr DType dtype_of<F16> = DType::kF16;
template <>
inline constexpr DType dtype_of<Bf16> = DType::kBF16;
template <>
inline constexpr DType dtype_of<uint8_t> = DType::kU8;
template <>
inline constexpr DType dtype_of<int8_t> = DType::kI8;
template <>
inline constexpr DType dtype_of<uint16_t> = DType::kU16;
template <>
inline constexpr DType dtype_of<int16_t> = DType::kI16;
template <>
inline constexpr DType dtype_of<uint32_t> = DType::kU32;
template <>
inline constexpr DType dtype_of<int32_t> = DType::kI32;
template <>
inline constexpr DType dtype_of<uint64_t> = DType::kU64;
template <>
inline constexpr DType dtype_of<int64_t> = DType::kI64;

}  // namespace strake
