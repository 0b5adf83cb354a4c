#include "strake/tensor/tensor.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "io/expect_error.h"

// Sanitizers end the program at an allocation that cannot be made, unless told otherwise.
extern "C" const char* __asan_default_options() { return "allocator_may_return_null=1"; }  // NOLINT
extern "C" const char* __tsan_default_options() { return "allocator_may_return_null=1"; }  // NOLINT

namespace strake {
namespace {

using testing::Each;
using testing::ElementsAre;

// 0, 1, 2, ... in row-major order.
Tensor counting(const Shape& shape) {
  std::vector<int32_t> values(static_cast<size_t>(shape.elements()));
  std::iota(values.begin(), values.end(), 0);
  return Tensor::from(std::span<const int32_t>(values), shape);
}

std::vector<int32_t> values_of(const Tensor& tensor) {
  const auto data = tensor.data<int32_t>();
  return {data.begin(), data.end()};
}

TEST(Tensor, HoldsWhatItIsGiven) {
  const std::vector<float> values = {1, 2, 3, 4, 5, 6};
  const Tensor tensor = Tensor::from(std::span<const float>(values), {2, 3});
  EXPECT_EQ(tensor.dtype(), DType::kF32);
  EXPECT_EQ(tensor.elements(), 6);
  EXPECT_EQ(tensor.nbytes(), 24);
  EXPECT_EQ(tensor.device(), Device::cpu());
  EXPECT_THAT(tensor.data<float>(), ElementsAre(1, 2, 3, 4, 5, 6));
  EXPECT_EQ(tensor.bytes().size(), 24u);
  expect_error(ErrorKind::kUsage, "shape [2, 2] has 4 elements, 6 were given", [&] {
    Tensor::from(std::span<const float>(values), {2, 2});
  });
}

TEST(Tensor, ZerosAreZero) {
  EXPECT_THAT(Tensor::zeros(DType::kU8, {3, 1000}).data<uint8_t>(), Each(0));
  EXPECT_THAT(Tensor::zeros(DType::kF32, {1 << 20}).data<float>(), Each(0.0f));
}

TEST(Tensor, HasAFewAxes) {
  const std::vector<int64_t> most(Shape::kMaxRank, 2), more(Shape::kMaxRank + 1, 2);
  EXPECT_EQ(Shape(most).elements(), 1 << Shape::kMaxRank);
  EXPECT_THAT(Shape(most).extents(), testing::ElementsAreArray(most));
  expect_error(ErrorKind::kUsage, "a shape of at most 8 axes expected, found 9",
               [&] { Shape{std::span<const int64_t>(more)}; });
  // What is behind the last axis counts for nothing.
  EXPECT_NE(Shape({2, 0}), Shape({2}));
  EXPECT_EQ(Shape({2, 3}).with(1, 5), Shape({2, 5}));
}

TEST(Tensor, IsAligned) {
  for (const int64_t elements : {1, 100, 1 << 22})
    EXPECT_EQ(
        reinterpret_cast<uintptr_t>(Tensor::empty(DType::kU8, {elements}).data<uint8_t>().data()) %
            64,
        0u);
}

TEST(Tensor, RefusesSizesThatOverflow) {
  expect_error(ErrorKind::kUsage, "is too large",
               [] { Tensor::empty(DType::kF32, {int64_t{1} << 62}); });
  expect_error(ErrorKind::kSystem, "out of memory: 4611686018427387904 bytes",
               [] { Tensor::empty(DType::kU8, {int64_t{1} << 62}); });
}

TEST(Tensor, IsReadAsItsOwnDtype) {
  const Tensor tensor = Tensor::zeros(DType::kU32, {4});
  expect_error(ErrorKind::kInternal, "a tensor of U32 was read as F32",
               [&] { tensor.data<float>(); });
  const Tensor nowhere = Tensor::empty(DType::kF32, {4, 5}, Device::meta());
  EXPECT_EQ(nowhere.nbytes(), 80);
  expect_error(ErrorKind::kInternal, "a meta tensor of shape [4, 5] has no bytes",
               [&] { nowhere.data<float>(); });
}

TEST(Tensor, CopiesShareTheirBytes) {
  Tensor tensor = counting({2, 3});
  const Tensor copy = tensor;
  const Tensor flat = tensor.reshape({6});
  tensor.mutable_data<int32_t>()[4] = 100;
  EXPECT_EQ(copy.data<int32_t>()[4], 100);
  EXPECT_EQ(flat.data<int32_t>()[4], 100);
  EXPECT_EQ(flat.shape(), Shape({6}));
  expect_error(ErrorKind::kUsage, "cannot reshape [2, 3] to [7]", [&] { tensor.reshape({7}); });
}

TEST(Tensor, SlicesEveryAxis) {
  const Tensor tensor = counting({2, 3, 4});
  EXPECT_THAT(values_of(tensor.slice(0, 1, 2)),
              ElementsAre(12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23));
  EXPECT_THAT(values_of(tensor.slice(1, 1, 2)), ElementsAre(4, 5, 6, 7, 16, 17, 18, 19));
  EXPECT_THAT(values_of(tensor.slice(2, 3, 4)), ElementsAre(3, 7, 11, 15, 19, 23));
  EXPECT_EQ(values_of(tensor.slice(-1, 3, 4)), values_of(tensor.slice(2, 3, 4)));
  EXPECT_EQ(tensor.slice(1, 0, 2).shape(), Shape({2, 2, 4}));
  for (const int axis : {0, 1, 2}) {
    EXPECT_EQ(values_of(tensor.slice(axis, 0, tensor.shape()[axis])), values_of(tensor));
    EXPECT_EQ(tensor.slice(axis, 1, 1).elements(), 0);
  }
}

TEST(Tensor, SlicesOfTheOutermostAxisShareBytes) {
  const Tensor tensor = counting({4, 8});
  EXPECT_EQ(tensor.slice(0, 2, 4).data<int32_t>().data(), tensor.data<int32_t>().data() + 16);
  // One row: the next axis is the outermost that counts.
  EXPECT_EQ(tensor.slice(0, 1, 2).slice(1, 4, 8).data<int32_t>().data(),
            tensor.data<int32_t>().data() + 12);
  EXPECT_NE(tensor.slice(1, 0, 8).data<int32_t>().data(), tensor.data<int32_t>().data());
}

TEST(Tensor, RefusesSlicesOutsideOfIt) {
  const Tensor tensor = counting({2, 3});
  for (const auto& [begin, end] : {std::pair{-1, 1}, {2, 1}, {0, 4}, {4, 4}})
    expect_error(ErrorKind::kUsage, "of axis 1 of shape [2, 3]",
                 [&] { tensor.slice(1, begin, end); });
  expect_error(ErrorKind::kInternal, "of a shape of rank 2", [&] { tensor.slice(2, 0, 1); });
  EXPECT_EQ(Tensor::empty(DType::kF32, {2, 3}, Device::meta()).slice(1, 1, 3).shape(),
            Shape({2, 2}));
}

TEST(Tensor, JoinsWhatWasCut) {
  const Tensor tensor = counting({3, 4, 5});
  for (const int axis : {0, 1, 2, -1}) {
    const int64_t extent = tensor.shape()[axis];
    const Tensor parts[] = {tensor.slice(axis, 0, 1), tensor.slice(axis, 1, 1),
                            tensor.slice(axis, 1, extent)};
    const Tensor joined = concatenate(parts, axis);
    EXPECT_EQ(joined.shape(), tensor.shape());
    EXPECT_EQ(values_of(joined), values_of(tensor)) << "axis " << axis;
  }
}

TEST(Tensor, RefusesToJoinWhatDiffers) {
  const auto refuse = [](const Tensor& a, const Tensor& b, const std::string& message) {
    const Tensor parts[] = {a, b};
    expect_error(ErrorKind::kUsage, message, [&] { concatenate(parts, 0); });
  };
  const Tensor tensor = Tensor::zeros(DType::kF32, {2, 3});
  refuse(tensor, Tensor::zeros(DType::kF16, {2, 3}),
         "concatenate on axis 0: F16 [2, 3] does not fit F32 [2, 3]");
  refuse(tensor, Tensor::zeros(DType::kF32, {2, 4}), "F32 [2, 4] does not fit F32 [2, 3]");
  refuse(tensor, Tensor::zeros(DType::kF32, {2, 3, 1}), "does not fit");
  refuse(tensor, Tensor::empty(DType::kF32, {2, 3}, Device::meta()), "does not fit");
  expect_error(ErrorKind::kUsage, "nothing to join",
               [] { concatenate(std::span<const Tensor>(), 0); });
}

TEST(Tensor, ConvertsBetweenFloatingDtypes) {
  const float inf = std::numeric_limits<float>::infinity();
  const std::vector<float> values = {0, -0.0f, 1.0f / 3, 70000, -1e-7f, inf, 257};
  const Tensor exact = Tensor::from(std::span<const float>(values), {7});
  const Tensor f16 = exact.to(DType::kF16);
  const Tensor bf16 = exact.to(DType::kBF16);
  EXPECT_EQ(f16.dtype(), DType::kF16);
  for (size_t i = 0; i < values.size(); ++i) {
    EXPECT_EQ(f16.data<F16>()[i].bits, to_f16(values[i]).bits);
    EXPECT_EQ(bf16.data<Bf16>()[i].bits, to_bf16(values[i]).bits);
    EXPECT_EQ(bf16.to(DType::kF16).data<F16>()[i].bits,
              to_f16(to_float(bf16.data<Bf16>()[i])).bits);
    EXPECT_EQ(f16.to(DType::kF32).data<float>()[i], to_float(f16.data<F16>()[i]));
  }
  EXPECT_EQ(exact.to(DType::kF32).data<float>().data(), exact.data<float>().data());
  EXPECT_EQ(Tensor::empty(DType::kF32, {3}, Device::meta()).to(DType::kF16).nbytes(), 6);
  expect_error(ErrorKind::kUsage, "cannot convert F32 to U8", [&] { exact.to(DType::kU8); });
  expect_error(ErrorKind::kUsage, "cannot convert I32 to F32",
               [&] { counting({2}).to(DType::kF32); });
}

TEST(Tensor, MayBeEmpty) {
  const Tensor none = Tensor::zeros(DType::kI32, {0, 5});
  EXPECT_TRUE(none.data<int32_t>().empty());
  EXPECT_EQ(none.slice(1, 1, 3).shape(), Shape({0, 2}));
  const Tensor parts[] = {none, counting({2, 5})};
  EXPECT_EQ(values_of(concatenate(parts, 0)), values_of(counting({2, 5})));
}

TEST(Device, HasAName) {
  EXPECT_EQ(to_string(Device::cpu()), "cpu");
  EXPECT_EQ(to_string(Device::meta()), "meta");
}

}  // namespace
}  // namespace strake
