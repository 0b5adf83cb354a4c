#include "strake/quant/weight.h"

#include <gtest/gtest.h>

#include "io/expect_error.h"
#include "tensors.h"

namespace strake {
namespace {

TEST(Weight, HoldsADenseTensor) {
  const Weight weight(random_weight(1, {4, 64}).to(DType::kBF16));
  EXPECT_EQ(weight.shape(), Shape({4, 64}));
  EXPECT_EQ(weight.nbytes(), 4 * 64 * 2);
  EXPECT_FALSE(weight.format().has_value());
  EXPECT_EQ(weight.quantized(), nullptr);
  EXPECT_EQ(weight.slice(0, 1, 3).shape(), Shape({2, 64}));
  EXPECT_EQ(floats(*weight.slice(1, 8, 16).dense()), floats(weight.dense()->slice(1, 8, 16)));
}

TEST(Weight, HoldsAQuantizedMatrix) {
  const Format format = Format::parse("mxfp8");
  const Weight weight(quantize(random_weight(1, {4, 64}), format, Encoder::kLeastError));
  EXPECT_EQ(weight.shape(), Shape({4, 64}));
  EXPECT_EQ(weight.nbytes(), 4 * 64 + 4 * 2);
  EXPECT_EQ(weight.format(), format);
  EXPECT_EQ(weight.device(), Device::cpu());
  EXPECT_EQ(weight.dense(), nullptr);
  EXPECT_EQ(weight.slice(1, 32, 64).format(), format);
}

TEST(Weight, RefusesCodesWithoutTheirFormat) {
  expect_error(ErrorKind::kUsage,
               "a dense weight is floating, found U32 [4, 8]: packed codes need their format", [] {
                 Weight weight(Tensor::zeros(DType::kU32, {4, 8}));
               });
  expect_error(ErrorKind::kUsage, "found U8 [4, 64]", [] {
    Weight weight(Tensor::zeros(DType::kU8, {4, 64}));
  });
}

}  // namespace
}  // namespace strake
