#include "strake/ops/quantized_matmul.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "strake/base/error.h"
#include "strake/quant/quantize.h"

namespace strake {
namespace {

using ::testing::HasSubstr;

// Numbers between -1 and 1 that differ from each other.
Tensor numbers(Shape shape, DType dtype = DType::kF32) {
  std::vector<float> values;
  for (int64_t i = 0; i < shape.elements(); ++i)
    values.push_back(std::sin(0.37f * static_cast<float>(i + 1)));
  return Tensor::from(std::span<const float>(values), std::move(shape)).to(dtype);
}

template <class T = int32_t>
Tensor indices(const std::vector<T>& values, Shape shape) {
  return Tensor::from(std::span<const T>(values), std::move(shape));
}

QuantizedMatrix matrix(Shape shape, std::string_view mode = "mxfp8", DType dtype = DType::kF32) {
  return quantize(numbers(std::move(shape), dtype), Format::parse(mode), Encoder::kLeastError);
}

// Matrix `x_matrix` of x [..., M, K] times matrix `w_matrix` of w [..., N, K], row by row.
std::vector<double> product(const Tensor& x, int64_t x_matrix, const QuantizedMatrix& w,
                            int64_t w_matrix) {
  const int64_t rows = x.shape()[-2], out = w.shape()[-2], in = x.shape()[-1];
  const Tensor a = x.to(DType::kF32);
  const Tensor b = dequantize(w, DType::kF32);
  const auto at = [](const Tensor& tensor, int64_t row, int64_t k) {
    return static_cast<double>(
        tensor.data<float>()[static_cast<size_t>(row * tensor.shape()[-1] + k)]);
  };
  std::vector<double> result;
  for (int64_t m = 0; m < rows; ++m)
    for (int64_t n = 0; n < out; ++n) {
      double sum = 0;
      for (int64_t k = 0; k < in; ++k)
        sum += at(a, x_matrix * rows + m, k) * at(b, w_matrix * out + n, k);
      result.push_back(sum);
    }
  return result;
}

class QuantizedMatmul : public ::testing::Test {
 protected:
  // Result matrix i must be that of x's matrix lhs[i] and w's matrix rhs[i].
  static void expect_products(const Tensor& y, const Tensor& x, const QuantizedMatrix& w,
                              const std::vector<int64_t>& lhs, const std::vector<int64_t>& rhs) {
    ASSERT_EQ(lhs.size(), rhs.size());
    std::vector<double> expected;
    for (size_t i = 0; i < lhs.size(); ++i)
      for (const double value : product(x, lhs[i], w, rhs[i])) expected.push_back(value);
    const auto found = y.data<float>();
    ASSERT_EQ(found.size(), expected.size());
    for (size_t i = 0; i < found.size(); ++i) EXPECT_NEAR(found[i], expected[i], 2e-5) << i;
  }

  template <class Call>
  static std::string error_of(Call&& call) {
    try {
      call();
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kUsage);
      return error.what();
    }
    return "no error";
  }

  std::unique_ptr<Backend> backend_ = make_backend("cpu", {.threads = 2});
};

TEST_F(QuantizedMatmul, MultipliesEveryRowOfAnyNumberOfAxes) {
  const QuantizedMatrix w = matrix({8, 64});
  const Tensor x = numbers({2, 3, 5, 64});
  const Tensor y = quantized_matmul(*backend_, x, w);
  EXPECT_EQ(y.shape(), (Shape{2, 3, 5, 8}));
  expect_products(y, x.reshape({30, 64}), w, {0}, {0});

  const Tensor row = x.reshape({30, 64}).slice(0, 0, 1);
  const Tensor of_row = quantized_matmul(*backend_, row.reshape({64}), w);
  EXPECT_EQ(of_row.shape(), Shape{8});
  expect_products(of_row, row, w, {0}, {0});

  EXPECT_EQ(quantized_matmul(*backend_, numbers({0, 64}), w).shape(), (Shape{0, 8}));
}

TEST_F(QuantizedMatmul, BroadcastsBatchesAgainstAStack) {
  const QuantizedMatrix w = matrix({4, 8, 64});
  const Tensor x = numbers({2, 1, 5, 64});
  const Tensor y = quantized_matmul(*backend_, x, w);
  EXPECT_EQ(y.shape(), (Shape{2, 4, 5, 8}));
  expect_products(y, x, w, {0, 0, 0, 0, 1, 1, 1, 1}, {0, 1, 2, 3, 0, 1, 2, 3});
}

TEST_F(QuantizedMatmul, AffineResultsHaveTheTypeCommonToXAndScales) {
  const QuantizedMatrix bf16 = matrix({8, 64}, "affine", DType::kBF16);
  const auto dtype = [&](DType x, const QuantizedMatrix& w) {
    return quantized_matmul(*backend_, numbers({2, 64}, x), w).dtype();
  };
  EXPECT_EQ(dtype(DType::kBF16, bf16), DType::kBF16);
  EXPECT_EQ(dtype(DType::kF16, bf16), DType::kF32);
  EXPECT_EQ(dtype(DType::kF32, bf16), DType::kF32);
  EXPECT_EQ(dtype(DType::kBF16, matrix({8, 64}, "affine", DType::kF32)), DType::kF32);
}

TEST_F(QuantizedMatmul, OtherModesResultsHaveTheTypeOfX) {
  for (const std::string_view mode : {"mxfp4", "mxfp8", "nvfp4"})
    for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16})
      EXPECT_EQ(quantized_matmul(*backend_, numbers({2, 64}, dtype), matrix({8, 64}, mode)).dtype(),
                dtype);
}

TEST_F(QuantizedMatmul, SumsInFloat32AndRoundsOnce) {
  // A sum kept in bfloat16 would stay at 256.
  std::vector<float> values(64, 1.0f);
  values[0] = 256;
  const Tensor x = Tensor::from(std::span<const float>(values), {1, 64}).to(DType::kBF16);
  const std::vector<float> ones(64, 1.0f);
  const auto w = quantize(Tensor::from(std::span<const float>(ones), {1, 64}),
                          Format::parse("mxfp8"), Encoder::kLeastError);
  const Tensor y = quantized_matmul(*backend_, x, w);
  EXPECT_EQ(y.data<Bf16>()[0].bits, to_bf16(319.0f).bits);
}

TEST_F(QuantizedMatmul, RefusesWhatDoesNotFit) {
  const QuantizedMatrix w = matrix({8, 64});
  const auto error = [&](const Tensor& x, const QuantizedMatrix& weight) {
    return error_of([&] { quantized_matmul(*backend_, x, weight); });
  };
  EXPECT_THAT(error(numbers({2, 32}), w), HasSubstr("x [2, 32] does not fit the weight [8, 64]"));
  EXPECT_THAT(error(indices({1, 2}, {1, 2}), w), HasSubstr("found I32 [1, 2]"));
  EXPECT_THAT(error(numbers({}), w), HasSubstr("at least 1 axes"));
  EXPECT_THAT(error(numbers({2, 64}), matrix({4, 8, 64})), HasSubstr("at least 3 axes"));
  EXPECT_THAT(error(numbers({3, 2, 64}), matrix({4, 8, 64})),
              HasSubstr("[3] and [4] cannot be broadcast together"));
  EXPECT_THAT(error(numbers({2, 0}), matrix({8, 0})), HasSubstr("does not fit"));
}

class GatherQmm : public QuantizedMatmul {};

TEST_F(GatherQmm, RoutesTokensToExperts) {
  const QuantizedMatrix w = matrix({4, 8, 64});
  const Tensor x = numbers({3, 1, 1, 64});
  const Tensor y = gather_qmm(*backend_, x, w, std::nullopt, indices({2, 0, 3, 3, 1, 2}, {3, 2}));
  EXPECT_EQ(y.shape(), (Shape{3, 2, 1, 8}));
  expect_products(y, x, w, {0, 0, 1, 1, 2, 2}, {2, 0, 3, 3, 1, 2});
}

TEST_F(GatherQmm, TakesBothIndexArraysOfAnyIntegerType) {
  const QuantizedMatrix w = matrix({4, 8, 64}, "affine");
  const Tensor x = numbers({3, 5, 64});
  const Tensor y = gather_qmm(*backend_, x, w, indices<uint8_t>({2, 0}, {2, 1}),
                              indices<int64_t>({3, 1, 0}, {3}));
  EXPECT_EQ(y.shape(), (Shape{2, 3, 5, 8}));
  expect_products(y, x, w, {2, 2, 2, 0, 0, 0}, {3, 1, 0, 3, 1, 0});
}

TEST_F(GatherQmm, CountsThroughAMissingIndexArray) {
  const QuantizedMatrix w = matrix({3, 8, 64});
  const Tensor x = numbers({3, 2, 64});
  expect_products(gather_qmm(*backend_, x, w, indices({2, 2, 0}, {3}), std::nullopt), x, w,
                  {2, 2, 0}, {0, 1, 2});
  const Tensor both = gather_qmm(*backend_, x, w, std::nullopt, std::nullopt);
  expect_products(both, x, w, {0, 1, 2}, {0, 1, 2});
}

TEST_F(GatherQmm, TakesASingleMatrixAsAStackOfOne) {
  const QuantizedMatrix w = matrix({8, 64});
  const Tensor x = numbers({3, 2, 64});
  const Tensor y = gather_qmm(*backend_, x, w, indices({1, 2}, {2}), std::nullopt);
  EXPECT_EQ(y.shape(), (Shape{2, 2, 8}));
  expect_products(y, x, w, {1, 2}, {0, 0});
}

TEST_F(GatherQmm, RefusesIndicesThatNameNothing) {
  const QuantizedMatrix w = matrix({4, 8, 64});
  const Tensor x = numbers({3, 2, 64});
  const auto error = [&](const std::optional<Tensor>& lhs, const std::optional<Tensor>& rhs) {
    return error_of([&] { gather_qmm(*backend_, x, w, lhs, rhs); });
  };
  EXPECT_THAT(error(std::nullopt, indices({0, 4, 0}, {3})),
              HasSubstr("rhs_indices: 4 is out of range, there are 4 matrices"));
  EXPECT_THAT(error(indices({-1}, {1}), std::nullopt),
              HasSubstr("lhs_indices: -1 is out of range"));
  EXPECT_THAT(error(std::nullopt, indices<uint64_t>({~uint64_t{0}}, {1})),
              HasSubstr("out of range"));
  EXPECT_THAT(error(std::nullopt, numbers({3})), HasSubstr("must be integers, found F32"));
  EXPECT_THAT(error(indices({0, 0}, {2}), indices({0, 0, 0}, {3})),
              HasSubstr("[2] and [3] cannot be broadcast together"));
}

}  // namespace
}  // namespace strake
