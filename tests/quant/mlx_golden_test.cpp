// Every format, dtype and kind of input against MLX's results; see scripts/goldens/quantize.py.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <map>
#include <sstream>
#include <string>

#include "golden_inputs.h"
#include "strake/quant/quantize.h"

namespace strake {
namespace {

struct Line {
  std::string mode;
  int bits = 0;
  int group_size = 0;
  std::string dtype;
  std::string kind;
  std::string codes, scales, biases;
};

std::string hex(uint64_t value) {
  std::ostringstream out;
  out.width(16);
  out.fill('0');
  out << std::hex << value;
  return out.str();
}

std::vector<Line> quantize_lines(const std::string& file) {
  std::ifstream in(std::string(STRAKE_TEST_DATA "/quant/") + file);
  std::vector<Line> lines;
  std::string text;
  while (std::getline(in, text)) {
    std::istringstream words(text);
    std::string operation;
    Line line;
    words >> operation >> line.mode >> line.bits >> line.group_size;
    if (operation != "quantize") continue;
    words >> line.dtype >> line.kind >> line.codes >> line.scales >> line.biases;
    lines.push_back(line);
  }
  return lines;
}

const Tensor& inputs_of(const Line& line) {
  static std::map<std::string, Tensor> cache;
  const std::string key = line.dtype + line.kind;
  if (const auto found = cache.find(key); found != cache.end()) return found->second;
  size_t kind = 0;
  while (golden::kKinds[kind] != line.kind) ++kind;
  Tensor tensor = line.dtype == "f32"   ? golden::inputs<float>(kind)
                  : line.dtype == "f16" ? golden::inputs<F16>(kind)
                                        : golden::inputs<Bf16>(kind);
  return cache.emplace(key, std::move(tensor)).first->second;
}

float largest_magnitude(const Tensor& tensor) {
  float largest = 0;
  const Tensor values = tensor.to(DType::kF32);
  for (const float value : values.data<float>()) largest = std::max(largest, std::fabs(value));
  return largest;
}

void expect_as_mlx(const std::string& file, Encoder encoder) {
  const auto lines = quantize_lines(file);
  ASSERT_EQ(lines.size(), Format::all().size() * 3 * golden::kKinds.size());
  for (const Line& line : lines) {
    SCOPED_TRACE(line.mode + " " + std::to_string(line.bits) + " bits, groups of " +
                 std::to_string(line.group_size) + ", " + line.dtype + ", " + line.kind);
    const Tensor& weight = inputs_of(line);
    std::optional<float> amax;
    if (line.kind == "amax" && line.mode == "nvfp4") amax = largest_magnitude(weight);
    const Format format = Format::parse(line.mode, line.bits, line.group_size);
    const QuantizedMatrix matrix = quantize(weight, format, encoder, amax);
    EXPECT_EQ(hex(golden::digest(matrix.scales())), line.scales);
    EXPECT_EQ(hex(golden::digest(matrix.codes())), line.codes);
    EXPECT_EQ(matrix.biases() ? hex(golden::digest(*matrix.biases())) : "-", line.biases);
  }
}

TEST(MlxGolden, QuantizeAsVersion0321) { expect_as_mlx("mlx-0.32.1.txt", Encoder::kMlx); }
TEST(MlxGolden, QuantizeAsVersion0324) { expect_as_mlx("mlx-0.32.4.txt", Encoder::kMlxCeil); }

}  // namespace
}  // namespace strake
