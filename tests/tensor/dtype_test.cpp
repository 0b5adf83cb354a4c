#include "strake/tensor/dtype.h"

#include <gtest/gtest.h>

#include <set>
#include <string_view>

namespace strake {
namespace {

TEST(DType, TableIsInTheOrderOfTheEnum) {
  std::set<std::string_view> names;
  for (const DTypeTraits& entry : kDTypes) {
    EXPECT_EQ(traits(entry.dtype).name, entry.name);
    EXPECT_EQ(to_string(entry.dtype), entry.name);
    EXPECT_EQ(size_of(entry.dtype), entry.size);
    names.insert(entry.name);
  }
  EXPECT_EQ(names.size(), std::size(kDTypes));
}

template <class T>
void expect_dtype(DType dtype, std::string_view name, bool floating) {
  EXPECT_EQ(dtype_of<T>, dtype);
  EXPECT_EQ(size_of(dtype), static_cast<int>(sizeof(T)));
  EXPECT_EQ(to_string(dtype), name);
  EXPECT_EQ(is_floating(dtype), floating);
}

TEST(DType, HasTheSizeOfItsType) {
  expect_dtype<float>(DType::kF32, "F32", true);
  expect_dtype<F16>(DType::kF16, "F16", true);
  expect_dtype<Bf16>(DType::kBF16, "BF16", true);
  expect_dtype<uint8_t>(DType::kU8, "U8", false);
  expect_dtype<int8_t>(DType::kI8, "I8", false);
  expect_dtype<uint16_t>(DType::kU16, "U16", false);
  expect_dtype<int16_t>(DType::kI16, "I16", false);
  expect_dtype<uint32_t>(DType::kU32, "U32", false);
  expect_dtype<int32_t>(DType::kI32, "I32", false);
  expect_dtype<uint64_t>(DType::kU64, "U64", false);
  expect_dtype<int64_t>(DType::kI64, "I64", false);
}

}  // namespace
}  // namespace strake
