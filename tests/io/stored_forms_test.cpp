// Weights that checkpoints hold in other forms than MLX's.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "checkpoint_builder.h"
#include "expect_error.h"
#include "quant/head_weights.h"
#include "support/bits.h"
#include "support/weights.h"

namespace strake {
namespace {

constexpr const char* kPath = "model.layers.0.mlp.up_proj";
constexpr const char* kFp8 =
    R"({"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}})";
constexpr const char* kInt4 = R"({"quantization_config": {"quant_method": "compressed-tensors",
    "format": "pack-quantized", "config_groups": {"group_0": {"weights": {"num_bits": 4,
    "group_size": 32, "type": "int", "symmetric": true, "strategy": "group"}}}}})";

// 1.mmm * 2^(eeee - 7) with a sign, and multiples of 2^-9 below 2^-6.
double e4m3(uint8_t byte) {
  const double sign = byte & 0x80 ? -1 : 1;
  const int exponent = byte >> 3 & 15;
  const int mantissa = byte & 7;
  return sign *
         (exponent == 0 ? std::ldexp(mantissa, -9) : std::ldexp(8 + mantissa, exponent - 10));
}

// The writer has no e4m3: a file with its own header.
class Fp8Checkpoint {
 public:
  static constexpr int64_t kRows = 300, kColumns = 200;

  explicit Fp8Checkpoint(std::vector<std::string> modules = {kPath})
      : modules_(std::move(modules)) {
    for (size_t module = 0; module < modules_.size(); ++module) {
      Tensor codes = Tensor::empty(DType::kU8, {kRows, kColumns});
      auto bytes = codes.mutable_data<uint8_t>();
      for (size_t i = 0; i < bytes.size(); ++i)
        bytes[i] = static_cast<uint8_t>((i * 37 + module * 11) % 127);
      codes_.push_back(codes);
      scales_.push_back(random_weight(5 + module, {3, 2}));
    }
  }

  Checkpoint open(const std::string& stored = "F8_E4M3", Device device = Device::cpu()) const {
    Json header;
    std::string data;
    const auto add = [&](const std::string& name, const Tensor& tensor, const std::string& dtype) {
      const auto begin = std::ssize(data);
      data.append(reinterpret_cast<const char*>(tensor.bytes().data()), tensor.bytes().size());
      header[name] = {{"dtype", dtype},
                      {"shape", {tensor.shape()[0], tensor.shape()[1]}},
                      {"data_offsets", {begin, std::ssize(data)}}};
    };
    for (size_t i = 0; i < modules_.size(); ++i) {
      add(modules_[i] + ".weight", codes_[i], stored);
      add(modules_[i] + ".weight_scale_inv", scales_[i], "F32");
    }
    const std::string text = dump_json(header);
    const uint64_t length = text.size();
    std::ofstream file(directory_.path() / "model.safetensors", std::ios::binary);
    file.write(reinterpret_cast<const char*>(&length), sizeof length) << text << data;
    file.close();
    std::ofstream(directory_.path() / "config.json") << kFp8;
    return Checkpoint::open(directory_.path(), device);
  }

  float expected(int64_t row, int64_t column, size_t module = 0) const {
    const auto at = static_cast<size_t>(row * kColumns + column);
    const auto scale = static_cast<size_t>(row / 128 * 2 + column / 128);
    return to_float(
        to_bf16(static_cast<float>(e4m3(codes_[module].data<uint8_t>()[at]) *
                                   static_cast<double>(scales_[module].data<float>()[scale]))));
  }

 private:
  std::vector<std::string> modules_;
  std::vector<Tensor> codes_, scales_;
  TemporaryDirectory directory_;
};

std::vector<int64_t> indices(const Cut& cut) {
  std::vector<int64_t> result;
  for (const Range range : cut.ranges)
    for (int64_t i = range.begin; i < range.end; ++i) result.push_back(i);
  return result;
}

TEST(BlockFp8, BecomesBfloat16AndReadsItsOwnBytesAndWholeBlocksOfScales) {
  const Fp8Checkpoint files;
  const Shape shape{Fp8Checkpoint::kRows, Fp8Checkpoint::kColumns};
  struct Case {
    Cut cut;
    int64_t scales;  // that belong to it
  };
  for (const auto& [cut, scales] :
       {Case{{0, {{0, 300}}}, 6}, Case{{0, {{96, 160}}}, 4}, Case{{0, {{0, 5}, {290, 300}}}, 4},
        Case{{1, {{32, 64}}}, 3}, Case{{1, {{96, 200}}}, 6}, Case{{-1, {{128, 160}}}, 3}}) {
    Checkpoint checkpoint = files.open();
    EXPECT_EQ(checkpoint.format(kPath, shape[1]), std::nullopt);
    const Weight weight = checkpoint.weight(kPath, shape, cut);
    ASSERT_EQ(weight.dense()->dtype(), DType::kBF16);
    EXPECT_EQ(weight.shape(), shape_of_cut(shape, cut));
    EXPECT_EQ(checkpoint.bytes_read(), weight.shape().elements() + 4 * scales);
    checkpoint.require_all_used();
    const auto values = floats(*weight.dense());
    size_t at = 0;
    const bool by_rows = cut.axis == 0;
    const auto wanted = indices(cut);
    for (int64_t row = 0; row < weight.shape()[0]; ++row)
      for (int64_t column = 0; column < weight.shape()[1]; ++column)
        ASSERT_EQ(values[at++], by_rows ? files.expected(wanted[static_cast<size_t>(row)], column)
                                        : files.expected(row, wanted[static_cast<size_t>(column)]));
  }
  Checkpoint plan = files.open("F8_E4M3", Device::meta());
  EXPECT_EQ(plan.weight(kPath, shape, Cut{1, {{0, 64}}}).nbytes(), 300 * 64 * 2);
  EXPECT_EQ(plan.bytes_read(), 0);
}

// DeepSeek-V3's: each expert's matrices by themselves, in blocks of their own.
TEST(BlockFp8, OfSeparateExpertsBecomesOneStack) {
  const std::string mlp = "model.layers.0.mlp.";
  const std::string stack = mlp + "switch_mlp.gate_proj";
  std::vector<std::string> modules;
  for (const char* expert : {"0", "1", "2", "3"})
    modules.push_back(mlp + "experts." + expert + ".gate_proj");
  const Fp8Checkpoint files(modules);
  const Shape shape{4, Fp8Checkpoint::kRows, Fp8Checkpoint::kColumns};
  struct Case {
    Cut cut;
    int64_t scales;  // of all experts that it has, which belong to it
  };
  for (const auto& [cut, scales] :
       {Case{{0, {{0, 4}}}, 24}, Case{{0, {{1, 2}, {3, 4}}}, 12}, Case{{1, {{96, 160}}}, 16},
        Case{{2, {{32, 64}}}, 12}, Case{{2, {{0, 8}, {120, 200}}}, 36}}) {
    SCOPED_TRACE(testing::Message() << "axis " << cut.axis << " from " << cut.ranges[0].begin);
    Checkpoint checkpoint = files.open();
    EXPECT_EQ(checkpoint.format(stack, shape[2]), std::nullopt);
    const Weight weight = checkpoint.weight(stack, shape, cut);
    ASSERT_EQ(weight.dense()->dtype(), DType::kBF16);
    ASSERT_EQ(weight.shape(), shape_of_cut(shape, cut));
    EXPECT_EQ(checkpoint.bytes_read(), weight.shape().elements() + 4 * scales);
    checkpoint.require_all_used();
    std::vector<std::vector<int64_t>> wanted;  // by axis
    for (int axis = 0; axis < 3; ++axis)
      wanted.push_back(indices(axis == cut.axis ? cut : Cut{axis, {{0, shape[axis]}}}));
    const auto values = floats(*weight.dense());
    size_t at = 0;
    for (const int64_t expert : wanted[0])
      for (const int64_t row : wanted[1])
        for (const int64_t column : wanted[2])
          ASSERT_EQ(values[at++], files.expected(row, column, static_cast<size_t>(expert)));
    Checkpoint plan = files.open("F8_E4M3", Device::meta());
    EXPECT_EQ(plan.weight(stack, shape, cut).nbytes(), weight.nbytes());
    EXPECT_EQ(plan.bytes_read(), 0);
  }
  // A rank without the last expert sees all the same that there is none.
  modules.pop_back();
  const Fp8Checkpoint fewer(modules);
  Checkpoint checkpoint = fewer.open();
  expect_error(ErrorKind::kCheckpoint, mlp + "experts.3.gate_proj.weight: missing", [&] {
    checkpoint.weight(stack, shape, Cut{0, {{0, 2}}});
  });
}

TEST(BlockFp8, RefusesOtherElementsAndShapes) {
  const Fp8Checkpoint files;
  const Shape shape{Fp8Checkpoint::kRows, Fp8Checkpoint::kColumns};
  const std::string path = kPath;
  Checkpoint other = files.open("U8");
  expect_error(ErrorKind::kCheckpoint,
               path + ".weight: F8_E4M3 expected beside " + path + ".weight_scale_inv, found U8",
               [&] { other.weight(kPath, shape); });
  Checkpoint checkpoint = files.open();
  expect_error(ErrorKind::kCheckpoint, path + ".weight: shape [300, 208] expected", [&] {
    checkpoint.weight(kPath, {300, 208});
  });
}

CheckpointBuilder packed_checkpoint(const Tensor& scales) {
  CheckpointBuilder builder;
  builder.config = parse_json(kInt4, "config");
  std::vector<int32_t> words;
  for (uint32_t i = 0; i < 6 * 8; ++i) words.push_back(static_cast<int32_t>(0x76543210u * (i + 1)));
  builder.add(std::string(kPath) + ".weight_packed", integers(words, {6, 8}));
  builder.add(std::string(kPath) + ".weight_scale", scales);
  builder.add(std::string(kPath) + ".weight_shape", integers<int64_t>({6, 64}, {2}));
  return builder;
}

TEST(PackedInt4, IsAffineWithAnOffsetOfEight) {
  const Tensor scales = random_weight(1, {6, 2}).to(DType::kBF16);
  const CheckpointBuilder builder = packed_checkpoint(scales);
  Checkpoint checkpoint = builder.open();
  const Format format = Format::parse("affine", 4, 32);
  EXPECT_EQ(checkpoint.format(kPath, 64), format);
  const Weight weight = checkpoint.weight(kPath, {6, 64});
  ASSERT_EQ(weight.format(), format);
  checkpoint.require_all_used();
  const auto values = floats(dequantize(*weight.quantized(), DType::kF32));
  const auto factors = floats(scales);
  for (size_t i = 0; i < values.size(); ++i) {
    const uint32_t word = 0x76543210u * (static_cast<uint32_t>(i / 8) + 1);
    const auto code = static_cast<int>(word >> (i % 8 * 4) & 15) - 8;
    EXPECT_EQ(values[i], static_cast<float>(code) * factors[i / 32]);
  }
  Checkpoint part = builder.reopen();
  const Weight columns = part.weight(kPath, {6, 64}, Cut{1, {{32, 64}}});
  EXPECT_TRUE(same_bits(values_of(columns), values_of(weight).slice(1, 32, 64)));
  EXPECT_EQ(part.bytes_read(), 6 * (16 + 2) + 16);  // and the shape that it states
}

TEST(PackedInt4, RefusesWhatContradictsItself) {
  const std::string path = kPath;
  const Tensor scales = random_weight(1, {6, 2}).to(DType::kBF16);
  CheckpointBuilder builder = packed_checkpoint(scales);
  builder.add(path + ".weight_shape", integers<int64_t>({6, 128}, {2}));
  expect_error(ErrorKind::kCheckpoint, path + ".weight_shape: [6, 64] expected, found [6, 128]",
               [&] {
                 builder.open().weight(kPath, {6, 64});
               });
  builder = packed_checkpoint(scales);
  builder.config = Json::object();
  expect_error(ErrorKind::kCheckpoint, path + ".weight_packed", [&] {
    builder.open().weight(kPath, {6, 64});
  });
}

TEST(QuantizationMethods, RefuseWhatIsNotKnown) {
  const auto parse = [](const std::string& method) {
    return QuantizationConfig::parse(
        ModelConfig::parse(R"({"quantization_config": )" + method + "}", "config.json"));
  };
  EXPECT_EQ(parse(R"({"quant_method": "fp8", "weight_block_size": [64, 32]})").fp8_block(),
            (std::pair<int64_t, int64_t>(64, 32)));
  expect_error(ErrorKind::kUnsupported, "weight_block_size: two extents expected, found null",
               [&] { parse(R"({"quant_method": "fp8"})"); });
  expect_error(
      ErrorKind::kUnsupported, "format: pack-quantized expected, found float-quantized",
      [&] { parse(R"({"quant_method": "compressed-tensors", "format": "float-quantized"})"); });
  expect_error(ErrorKind::kUnsupported, "symmetric groups of 4-bit integers expected", [&] {
    parse(R"({"quant_method": "compressed-tensors", "format": "pack-quantized",
              "config_groups": {"group_0": {"weights": {"num_bits": 8, "group_size": 32}}}})");
  });
}

// Three heads of 32 key rows and 64 value rows.
TEST(HeadProjections, AreMadeFromKvBProjInEveryFormat) {
  const std::string attention = "model.layers.0.self_attn.";
  for (const WeightKind& kind : all_weight_kinds()) {
    SCOPED_TRACE(kind.name);
    const int64_t rank = 2 * kind.group();
    const Weight whole = kind.make(1, {3 * 96, rank});
    CheckpointBuilder builder;
    if (kind.format) builder.config["quantization"] = format_json(*kind.format);
    builder.add_weight(attention + "kv_b_proj", whole);
    Checkpoint checkpoint = builder.open();
    EXPECT_EQ(checkpoint.format(attention + "embed_q", 32), std::nullopt);
    EXPECT_EQ(checkpoint.format(attention + "unembed_out", rank), kind.format);
    const Weight keys = checkpoint.weight(attention + "embed_q", {3, rank, 32});
    const Weight values = checkpoint.weight(attention + "unembed_out", {3, 64, rank});
    checkpoint.require_all_used();
    EXPECT_EQ(checkpoint.bytes_read(), whole.nbytes());
    ASSERT_NE(keys.dense(), nullptr);
    EXPECT_EQ(values.format(), kind.format);
    const Tensor stacked = values_of(stack_heads(whole, 96));
    EXPECT_TRUE(same_bits(values_of(values), stacked.slice(1, 32, 96)));
    const auto expected = floats(stacked.slice(1, 0, 32).to(keys.dense()->dtype()));
    const auto found = floats(*keys.dense());
    for (int64_t head = 0; head < 3; ++head)
      for (int64_t row = 0; row < 32; ++row)
        for (int64_t i = 0; i < rank; ++i)
          ASSERT_EQ(found[static_cast<size_t>((head * rank + i) * 32 + row)],
                    expected[static_cast<size_t>((head * 32 + row) * rank + i)]);
    Checkpoint part = builder.reopen();
    const Weight last = part.weight(attention + "unembed_out", {3, 64, rank}, Cut{0, {{2, 3}}});
    EXPECT_TRUE(same_bits(values_of(last), stacked.slice(0, 2, 3).slice(1, 32, 96)));
    EXPECT_EQ(part.bytes_read(), last.nbytes());
  }
}

TEST(LeftOutLayers, AreThoseBeyondTheLast) {
  CheckpointBuilder builder;
  builder.config["quantization"] = format_json(Format::parse("mxfp8"));
  builder.config["quantization"]["model.layers.2.eh_proj"] = false;
  const Tensor norm = Tensor::zeros(DType::kF32, {4});
  for (const char* name : {"model.layers.2.enorm.weight", "model.layers.11.norm.weight"})
    builder.add(name, norm);
  Checkpoint checkpoint = builder.open();
  expect_error(ErrorKind::kCheckpoint, "no place for 2 of its tensors",
               [&] { checkpoint.require_all_used(); });
  checkpoint.ignore_layers_from(3);
  expect_error(ErrorKind::kCheckpoint, "no place for 1 of its tensors: model.layers.2.enorm.weight",
               [&] { checkpoint.require_all_used(); });
  checkpoint.ignore_layers_from(2);
  checkpoint.require_all_used();
}

}  // namespace
}  // namespace strake
