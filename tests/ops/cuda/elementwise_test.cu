// Norms, heads, tables and elements against float64, codes against the library's own.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "ops/cuda/device.h"
#include "ops/cuda/elementwise.h"
#include "ops/cuda/embedding.h"
#include "ops/cuda/heads.h"
#include "ops/cuda/norms.h"
#include "strake/quant/quantize.h"

namespace strake::cuda {
namespace {

constexpr DType kFloating[] = {DType::kF32, DType::kF16, DType::kBF16};

// Of a result that is rounded once: half a unit in the last place, and what float32 sums lose.
double tolerance(DType dtype) {
  return 1e-6 + (dtype == DType::kF32 ? 0 : dtype == DType::kF16 ? 0x1p-11 : 0x1p-8);
}

size_t count_of(int64_t rows, int64_t columns) { return static_cast<size_t>(rows * columns); }

TEST(CudaElementwise, Gated) {
  for (const DType in : kFloating)
    for (const DType out_dtype : kFloating)
      for (const Activation activation :
           {Activation::kSilu, Activation::kGeluTanh, Activation::kClampedSwiglu}) {
        const int64_t rows = 5, columns = 301, stride = 700;
        auto both = random_floats(count_of(rows, stride), in, 4);
        both[7] = 300;
        both[8] = -300;
        const DeviceFloats device(in, both);
        const auto half = static_cast<int64_t>(size_of(in)) * 350;
        const DeviceFloats out(out_dtype, count_of(rows, columns));
        gated({device.data(), in, stride},
              {static_cast<uint8_t*>(device.data()) + half, in, stride},
              {out.data(), out_dtype, columns}, {rows, columns}, activation, nullptr);
        std::vector<double> expected;
        for (int64_t row = 0; row < rows; ++row)
          for (int64_t i = 0; i < columns; ++i) {
            const auto rounded = [&](float x) -> double {
              if (out_dtype == DType::kF16) return strake::to_float(to_f16(x));
              return out_dtype == DType::kBF16 ? strake::to_float(to_bf16(x)) : x;
            };
            double g = rounded(both[row * stride + i]), u = rounded(both[row * stride + 350 + i]);
            if (activation == Activation::kSilu) {
              expected.push_back(g / (1 + std::exp(-g)) * u);
            } else if (activation == Activation::kGeluTanh) {
              expected.push_back(
                  g * (1 + std::tanh(std::sqrt(2 / M_PI) * (g + 0.044715 * g * g * g))) / 2 * u);
            } else {
              g = std::min(g, 7.0);
              u = std::clamp(u, -7.0, 7.0);
              expected.push_back(g / (1 + std::exp(-1.702 * g)) * (u + 1));
            }
          }
        EXPECT_LE(relative_error(out.get(), expected), tolerance(out_dtype));
        EXPECT_TRUE(out.is_guard_whole());
      }
}

// Where threads take several elements, as where each takes one.
TEST(CudaElementwise, GatedVectorsHaveTheSameBits) {
  const int64_t rows = 700, columns = 1600, stride = 2 * columns;
  for (const DType dtype : {DType::kBF16, DType::kF16})
    for (const Activation activation :
         {Activation::kSilu, Activation::kGeluTanh, Activation::kClampedSwiglu}) {
      auto both = random_floats(count_of(rows, stride), dtype, 4);
      both[7] = 300;
      both[8] = -300;
      const DeviceFloats device(dtype, both);
      const auto place = [&](int64_t row, int64_t column) -> void* {
        return static_cast<uint8_t*>(device.data()) +
               static_cast<int64_t>(size_of(dtype)) * (row * stride + column);
      };
      const DeviceFloats together(dtype, count_of(rows, columns));
      const DeviceFloats apart(dtype, count_of(rows, columns));
      const auto run = [&](const DeviceFloats& out, int64_t first, int64_t count) {
        gated({place(first, 0), dtype, stride}, {place(first, columns), dtype, stride},
              {static_cast<uint8_t*>(out.data()) +
                   static_cast<int64_t>(size_of(dtype)) * first * columns,
               dtype, columns},
              {count, columns}, activation, nullptr);
      };
      run(together, 0, rows);
      for (int64_t row = 0; row < rows; ++row) run(apart, row, 1);
      EXPECT_EQ(together.get(), apart.get());
      EXPECT_TRUE(together.is_guard_whole());
    }
}

TEST(CudaElementwise, CastAddScaleAndCopy) {
  const int64_t rows = 7, columns = 77;
  const auto x = random_floats(count_of(rows, columns)), y = random_floats(count_of(rows, columns));
  const DeviceFloats a(DType::kF32, x), b(DType::kF32, y), sum(DType::kF32, x.size());
  const Extent2 extent{rows, columns};
  const RowsIn in{a.data(), DType::kF32, columns};
  const RowsOut out{sum.data(), DType::kF32, columns};
  add(in, {b.data(), DType::kF32, columns}, out, extent, nullptr);
  auto found = sum.get();
  for (size_t i = 0; i < x.size(); ++i) EXPECT_EQ(found[i], x[i] + y[i]);
  add(in, {b.data(), DType::kF32, 0}, out, extent, nullptr);
  found = sum.get();
  for (size_t i = 0; i < x.size(); ++i) EXPECT_EQ(found[i], x[i] + y[i % columns]);
  scale(in, 0.3f, out, extent, nullptr);
  found = sum.get();
  for (size_t i = 0; i < x.size(); ++i) EXPECT_EQ(found[i], x[i] * 0.3f);
  for (const DType dtype : kFloating) {
    const DeviceFloats narrow(dtype, x.size());
    cast(in, {narrow.data(), dtype, columns}, extent, nullptr);
    EXPECT_EQ(narrow.get(), DeviceFloats(dtype, x).get());
  }
  for (const int64_t width : {1, 2, 3, 4, 8, 16, 31, 32, 64})
    for (const int64_t at : {0, 1, 16}) {
      std::vector<uint8_t> bytes(640);
      for (auto& byte : bytes) byte = static_cast<uint8_t>(generator()());
      const DeviceArray<uint8_t> from(bytes), to(640);
      copy_rows({from.data() + at, 96, to.data() + 16, 80, width, 5}, nullptr);
      const auto copied = to.get();
      for (int64_t i = 0; i < 640; ++i) {
        const int64_t row = i < 16 ? -1 : (i - 16) / 80, column = (i - 16) % 80;
        const bool own = row >= 0 && row < 5 && column < width;
        EXPECT_EQ(copied[i], own ? bytes[at + row * 96 + column] : 0xff);
      }
    }
}

TEST(CudaNorms, RowsOfEveryWidth) {
  for (const int64_t width : {1, 31, 128, 1000, 5120})
    for (const DType dtype : kFloating) {
      const int64_t rows = 3;
      const auto x = random_floats(count_of(rows, width)),
                 w = random_floats(static_cast<size_t>(width), dtype),
                 b = random_floats(static_cast<size_t>(width));
      const DeviceArray<float> device(x), squares(static_cast<size_t>(rows));
      const DeviceFloats weight(dtype, w), bias(DType::kF32, b), out(dtype, x.size()),
          centred(DType::kF32, x.size());
      const NormRows in{device.data(), rows, width};
      NormWeight norm{weight.data(), dtype, bias.data(), DType::kF32, 1e-5f};
      rms_norm(in, norm, {out.data(), dtype}, nullptr);
      layer_norm(in, norm, {centred.data(), DType::kF32}, nullptr);
      sum_squares(in, squares.data(), nullptr);
      std::vector<double> expected, expected_centred, expected_squares;
      for (int64_t row = 0; row < rows; ++row) {
        double sum = 0, square = 0, spread = 0;
        for (int64_t i = 0; i < width; ++i) {
          sum += x[row * width + i];
          square += double{x[row * width + i]} * x[row * width + i];
        }
        for (int64_t i = 0; i < width; ++i) spread += std::pow(x[row * width + i] - sum / width, 2);
        for (int64_t i = 0; i < width; ++i) {
          expected.push_back(x[row * width + i] / std::sqrt(square / width + 1e-5) * w[i]);
          expected_centred.push_back(
              (x[row * width + i] - sum / width) / std::sqrt(spread / width + 1e-5) * w[i] + b[i]);
        }
        expected_squares.push_back(square);
      }
      EXPECT_LE(relative_error(out.get(), expected), tolerance(dtype));
      EXPECT_LE(relative_error(centred.get(), expected_centred), 2e-6);
      EXPECT_LE(relative_error(squares.get(), expected_squares), 1e-6);
      EXPECT_TRUE(out.is_guard_whole() && centred.is_guard_whole() && squares.is_guard_whole());
    }
}

TEST(CudaNorms, OfAPartOfTheRow) {
  const int64_t rows = 4, width = 96, parts = 3;
  const auto x = random_floats(count_of(rows, width)), w = random_floats(width);
  auto sums = random_floats(count_of(rows, parts));
  for (float& sum : sums) sum = std::abs(sum) * 50;
  const DeviceArray<float> device(x), device_sums(sums), weight(w);
  const DeviceFloats out(DType::kF32, x.size());
  rms_norm_part({device.data(), rows, width}, {device_sums.data(), parts, 3 * width},
                {weight.data(), DType::kF32, nullptr, DType::kF32, 1e-6f},
                {out.data(), DType::kF32}, nullptr);
  std::vector<double> expected;
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t i = 0; i < width; ++i)
      expected.push_back(
          x[row * width + i] * w[i] /
          std::sqrt((double{sums[row * 3]} + sums[row * 3 + 1] + sums[row * 3 + 2]) / (3 * width) +
                    1e-6));
  EXPECT_LE(relative_error(out.get(), expected), 1e-6);
}

// ((0 + 1) + 2) + (3 + 4)
SumSteps five_pieces() {
  SumSteps steps;
  for (const int8_t step : {0, 1, -1, 2, -1, 3, 4, -1, -1}) steps.steps[steps.count++] = step;
  return steps;
}
float sum_of_five(const std::vector<float>& p, size_t at, size_t stride) {
  return ((p[at] + p[at + stride]) + p[at + 2 * stride]) +
         (p[at + 3 * stride] + p[at + 4 * stride]);
}

TEST(CudaNorms, FinishSumsAlongTheTree) {
  const size_t count = 1554;
  const auto pieces = random_floats(5 * count);
  const DeviceArray<float> device(pieces), sums(count);
  finish_sums(device.data(), five_pieces(), static_cast<int64_t>(count), sums.data(), nullptr);
  const auto finished = sums.get();
  for (size_t i = 0; i < count; ++i) EXPECT_EQ(finished[i], sum_of_five(pieces, i, count));
}

// Widths of whole 16 bytes and others, of few and many columns a thread, and wider than what shared
// memory holds.
TEST(CudaNorms, AddToTheRowsFirst) {
  for (const int64_t width : {8, 776, 777, 4096, 8192, 16384})
    for (const DType weight_dtype : kFloating)
      for (const DType dtype : kFloating) {
        const int64_t rows = 2;
        const auto x = random_floats(count_of(rows, width)), y = random_floats(x.size()),
                   w = random_floats(static_cast<size_t>(width), weight_dtype);
        const DeviceArray<float> device(x), added(y);
        const DeviceFloats weight(weight_dtype, w), out(dtype, x.size()), alone(dtype, x.size());
        const NormWeight norm{weight.data(), weight_dtype, nullptr, DType::kF32, 1e-6f};
        rms_norm({device.data(), rows, width, added.data(), device.data()}, norm,
                 {out.data(), dtype}, nullptr);
        const auto sum = device.get();
        std::vector<double> expected;
        for (int64_t row = 0; row < rows; ++row) {
          double square = 0;
          for (int64_t i = row * width; i < (row + 1) * width; ++i) {
            EXPECT_EQ(sum[i], x[i] + y[i]);
            square += double{sum[i]} * sum[i];
          }
          for (int64_t i = 0; i < width; ++i)
            expected.push_back(sum[row * width + i] / std::sqrt(square / width + 1e-6) * w[i]);
        }
        EXPECT_LE(relative_error(out.get(), expected), tolerance(dtype)) << width;
        EXPECT_TRUE(out.is_guard_whole());
        rms_norm({device.data(), rows, width}, norm, {alone.data(), dtype}, nullptr);
        EXPECT_EQ(out.get(), alone.get()) << width;
      }
}

TEST(CudaNorms, HaveTheSameBitsWhereverRowsStand) {
  const int64_t rows = 3;
  for (const int64_t width : {8, 776, 2048, 4096}) {
    const auto x = random_floats(count_of(rows, width)), w = random_floats(width);
    std::vector<float> later(1);
    later.insert(later.end(), x.begin(), x.end());
    const DeviceArray<float> first(x), second(later), weight(w);
    const DeviceFloats out(DType::kBF16, x.size()), other(DType::kBF16, x.size());
    const NormWeight norm{weight.data(), DType::kF32, nullptr, DType::kF32, 1e-6f};
    rms_norm({first.data(), rows, width}, norm, {out.data(), DType::kBF16}, nullptr);
    rms_norm({second.data() + 1, rows, width}, norm, {other.data(), DType::kBF16}, nullptr);
    EXPECT_EQ(out.get(), other.get()) << width;
  }
}

TEST(CudaHeads, TurnAndGoToTheCache) {
  for (const DType dtype : kFloating)
    for (const DType from : {DType::kF32, dtype})
      for (const auto& [pairs, tokens] :
           std::vector<std::pair<TurnedPairs, int64_t>>{{TurnedPairs::kHalves, 4},
                                                        {TurnedPairs::kAdjacent, 4},
                                                        {TurnedPairs::kHalves, 77}}) {
        const int64_t heads = 3, cached = 2, width = 20, turned = 6, slots = 4 * (tokens + 3) / 4;
        const std::vector<int32_t> firsts{13, 1000};
        const int64_t rows = tokens * 2, stride = (heads + 2 * cached) * width;
        const auto x = random_floats(count_of(rows, stride), dtype);
        const DeviceFloats qkv(from, x), q(dtype, count_of(rows, heads * width));
        const auto f = random_floats(turned);
        const DeviceArray<float> frequencies(f);
        std::vector<DeviceFloats> keys, values;
        std::vector<CachedSequence> caches;
        for (int s = 0; s < 2; ++s) {
          keys.emplace_back(dtype, count_of(cached * slots, width + 3));
          values.emplace_back(dtype, count_of(cached * slots, width));
          caches.push_back({{keys[s].data()}, {values[s].data()}, slots});
        }
        const DeviceArray<CachedSequence> device_caches(caches);
        const DeviceArray<int32_t> positions(firsts);
        const Rope rope{frequencies.data(), turned, pairs, 1.5f};
        const auto at = [&](int64_t column) -> void* {
          return static_cast<uint8_t*>(qkv.data()) + column * size_of(from);
        };
        HeadJobs jobs;
        jobs.count = 3;
        jobs.caches = device_caches.data();
        jobs.jobs[0] = {{at(0), heads, width, stride, width},
                        rope,
                        HeadsTo::kRows,
                        {q.data(), heads, width, heads * width, width}};
        jobs.jobs[1] = {{at(heads * width), cached, width, stride, width},
                        rope,
                        HeadsTo::kKeys,
                        {},
                        width + 3,
                        2};
        jobs.jobs[2] = {{at((heads + cached) * width), cached, width, stride, width},
                        {},
                        HeadsTo::kValues,
                        {},
                        width,
                        0};
        place_heads(jobs, {positions.data(), tokens, 2}, from, dtype, nullptr);
        const auto turned_value = [&](int64_t row, int64_t head, int64_t i) -> double {
          const float* const head_at = x.data() + row * stride + head * width;
          if (i >= 2 * turned) return head_at[i];
          const bool halves = pairs == TurnedPairs::kHalves;
          const int64_t pair = halves ? i % turned : i / 2;
          const bool first = halves ? i < turned : i % 2 == 0;
          const double a = head_at[halves ? pair : 2 * pair],
                       b = head_at[halves ? pair + turned : 2 * pair + 1];
          const float angle = static_cast<float>(firsts[row / tokens] + row % tokens) * f[pair];
          const double c = std::cos(double{angle}) * 1.5, s = std::sin(double{angle}) * 1.5;
          return first ? a * c - b * s : b * c + a * s;
        };
        std::vector<double> expected;
        for (int64_t row = 0; row < rows; ++row)
          for (int64_t head = 0; head < heads; ++head)
            for (int64_t i = 0; i < width; ++i) expected.push_back(turned_value(row, head, i));
        EXPECT_LE(relative_error(q.get(), expected), tolerance(dtype));
        EXPECT_TRUE(q.is_guard_whole());
        for (int s = 0; s < 2; ++s) {
          const auto found = keys[s].get(), found_values = values[s].get();
          EXPECT_TRUE(keys[s].is_guard_whole() && values[s].is_guard_whole());
          size_t numbers = 0;
          for (const float v : found) numbers += std::isnan(v) ? 0 : 1;
          EXPECT_EQ(numbers, count_of(tokens * cached, width));
          for (int64_t t = 0; t < tokens; ++t)
            for (int64_t head = 0; head < cached; ++head) {
              const int64_t slot = head * slots + (firsts[s] + t) % slots, row = s * tokens + t;
              for (int64_t i = 0; i < width; ++i) {
                const double v = turned_value(row, heads + head, i);
                EXPECT_NEAR(found[slot * (width + 3) + 2 + i], v, 4 * tolerance(dtype) + 1e-5);
                EXPECT_EQ(found_values[slot * width + i],
                          x[row * stride + (heads + cached + head) * width + i]);
              }
            }
        }
      }
}

template <class T>
std::vector<T> elements_of(const Tensor& tensor) {
  const auto all = tensor.bytes();
  std::vector<T> values(all.size() / sizeof(T));
  std::memcpy(values.data(), all.data(), all.size());
  return values;
}
std::vector<uint8_t> bytes_of(const Tensor& tensor) { return elements_of<uint8_t>(tensor); }

Tensor tensor_of(const std::vector<float>& values, const Shape& shape, DType dtype) {
  return Tensor::from(std::span<const float>(values), shape).to(dtype);
}
CodeFormat code_format(const QuantizedMatrix& matrix) {
  const Format format = matrix.format();
  return {format.mode(), format.bits(), format.group_size(),
          format.has_biases() ? matrix.scales().dtype() : DType::kF32, matrix.tensor_scale()};
}

TEST(CudaEmbedding, RowsOfEveryFormat) {
  const int64_t rows = 9, width = 384;
  const std::vector<int32_t> ids{3, 0, 8, 3};
  const DeviceArray<int32_t> device_ids(ids);
  const DeviceArray<float> out(count_of(4, width));
  const auto expect_rows = [&](const Table& table, const std::vector<float>& expected) {
    embedding(table, device_ids.data(), 4, out.data(), nullptr);
    const auto found = out.get();
    for (size_t i = 0; i < found.size(); ++i) {
      const float value = expected[static_cast<size_t>(ids[i / width]) * width + i % width];
      ASSERT_TRUE(found[i] == value || (std::isnan(found[i]) && std::isnan(value)))
          << i << ": " << found[i] << " and " << value;
    }
  };
  for (const DType dtype : kFloating) {
    const auto x = random_floats(count_of(rows, width), dtype);
    const DeviceFloats table(dtype, x);
    expect_rows({table.data(), dtype, width}, x);
  }
  for (const Format format : Format::all())
    for (const DType dtype : kFloating) {
      const auto matrix =
          quantize(tensor_of(random_floats(count_of(rows, width)), {rows, width}, dtype), format,
                   Encoder::kMlx);
      auto codes = bytes_of(matrix.codes()), scales = bytes_of(matrix.scales());
      // Every code and scale byte comes up somewhere.
      if (!format.has_biases()) {
        for (uint8_t& byte : codes) byte = static_cast<uint8_t>(generator()());
        for (size_t i = 0; i < scales.size(); ++i) scales[i] = static_cast<uint8_t>(i * 7 + 255);
      }
      Tensor new_codes = Tensor::empty(DType::kU32, matrix.codes().shape());
      std::memcpy(new_codes.mutable_bytes().data(), codes.data(), codes.size());
      Tensor new_scales = Tensor::empty(matrix.scales().dtype(), matrix.scales().shape());
      std::memcpy(new_scales.mutable_bytes().data(), scales.data(), scales.size());
      QuantizedParts parts{new_codes, new_scales};
      if (matrix.biases()) parts.biases = *matrix.biases();
      const auto changed = QuantizedMatrix::make("test", format, std::move(parts));
      const DeviceArray<uint8_t> device_codes(codes), device_scales(scales),
          biases(matrix.biases() ? bytes_of(*matrix.biases()) : std::vector<uint8_t>());
      const Tensor values = dequantize(changed, DType::kF32);
      expect_rows({device_codes.data(), DType::kU32, width, code_format(changed),
                   device_scales.data(), biases.data()},
                  elements_of<float>(values));
    }
}

TEST(CudaHeads, CodesAreThoseOfTheEncoder) {
  const int64_t heads = 2, width = 128, tokens = 5, slots = 7;
  for (const Format format : Format::all())
    for (const DType dtype : kFloating) {
      auto x = random_floats(count_of(tokens * heads, width), dtype);
      std::fill_n(x.begin(), width, 0.0f);  // a row of zeros, and one of like numbers
      std::fill_n(x.begin() + width, width, -0.75f);
      const auto matrix =
          quantize(tensor_of(x, {tokens * heads, width}, dtype), format, Encoder::kMlx);
      const auto codes = bytes_of(matrix.codes()), scales = bytes_of(matrix.scales());
      const DeviceFloats device(dtype, x);
      const DeviceArray<uint8_t> kept(codes.size() / tokens * slots),
          kept_scales(scales.size() / tokens * slots), kept_biases(kept_scales.size());
      const CachedSequence cache{{}, {kept.data(), kept_scales.data(), kept_biases.data()}, slots};
      const DeviceArray<CachedSequence> caches(std::vector<CachedSequence>{cache});
      const DeviceArray<int32_t> positions(std::vector<int32_t>{4});
      CodeFormat as = code_format(matrix);
      store_coded({{device.data(), heads, width, heads * width, width},
                   dtype,
                   HeadsTo::kValues,
                   as,
                   caches.data()},
                  {positions.data(), tokens, 1}, nullptr);
      const auto expect_bytes = [&](const std::vector<uint8_t>& found,
                                    const std::vector<uint8_t>& expected) {
        const size_t row = expected.size() / count_of(tokens, heads);
        for (int64_t t = 0; t < tokens; ++t)
          for (int64_t h = 0; h < heads; ++h)
            for (size_t i = 0; i < row; ++i)
              ASSERT_EQ(found[(h * slots + (4 + t) % slots) * row + i],
                        expected[(t * heads + h) * row + i])
                  << format.to_string() << " " << to_string(dtype) << " row " << t << " " << h;
      };
      expect_bytes(kept.get(), codes);
      expect_bytes(kept_scales.get(), scales);
      if (matrix.biases()) expect_bytes(kept_biases.get(), bytes_of(*matrix.biases()));
      EXPECT_TRUE(kept.is_guard_whole() && kept_scales.is_guard_whole());
    }
}

}  // namespace
}  // namespace strake::cuda
