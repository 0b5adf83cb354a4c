#include "io/model_config.h"

#include <gmock/gmock.h>

#include "expect_error.h"

namespace strake {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

ModelConfig parse(std::string_view text) { return ModelConfig::parse(text, "config.json"); }

void expect_refused(const std::string& part, const std::function<void()>& body) {
  expect_error(ErrorKind::kCheckpoint, part, body);
}

TEST(ModelConfig, ReadsFieldsByName) {
  const ModelConfig config = parse(R"({"n": 3, "x": 2.5, "s": "silu", "t": true, "none": null,
                                       "o": {"y": 4}, "ids": [1, 2], "id": 7})");
  EXPECT_EQ(config.integer("n"), 3);
  EXPECT_EQ(config.integer_or("m", 9), 9);
  EXPECT_EQ(config.integer_or("none", 9), 9);
  EXPECT_EQ(config.number("x"), 2.5);
  EXPECT_EQ(config.number("n"), 3.0);
  EXPECT_EQ(config.number_or("none", 0.5), 0.5);
  EXPECT_EQ(config.text("s"), "silu");
  EXPECT_EQ(config.text_or("none", "gelu"), "gelu");
  EXPECT_TRUE(config.flag_or("t", false));
  EXPECT_TRUE(config.flag_or("none", true));
  EXPECT_FALSE(config.has("none"));
  EXPECT_THAT(config.token_ids("ids"), ElementsAre(1, 2));
  EXPECT_THAT(config.token_ids("id"), ElementsAre(7));
  EXPECT_THAT(config.token_ids("none"), IsEmpty());
  EXPECT_EQ(config.object("o")->number("y"), 4.0);
  EXPECT_EQ(config.object("o")->what(), "config.json: o");
  EXPECT_FALSE(config.object("none"));
}

TEST(ModelConfig, ReadsLists) {
  const ModelConfig config = parse(R"({"x": [1, 2.5], "s": ["a", "b"], "none": []})");
  EXPECT_THAT(config.numbers("x"), ElementsAre(1.0, 2.5));
  EXPECT_THAT(config.texts("s"), ElementsAre("a", "b"));
  EXPECT_THAT(config.numbers("none"), IsEmpty());
  for (const char* field : {"s", "missing"})
    expect_refused(std::string(field) + ": a list of numbers expected",
                   [&] { config.numbers(field); });
  for (const char* field : {"x", "missing"})
    expect_refused(std::string(field) + ": a list of texts expected", [&] { config.texts(field); });
}

TEST(ModelConfig, NamesTheFieldWhatWasExpectedAndFound) {
  const ModelConfig config = parse(
      R"({"s": "x", "f": 3.5, "zero": 0, "minus": -4, "big": 2147483648, "huge": 18446744073709551615,
          "b": 1, "o": [], "ids": [1, -2], "n": null})");
  expect_refused("config.json: s: a whole number of at least 1 expected, found \"x\"",
                 [&] { config.integer("s"); });
  expect_refused("f: a whole number of at least 1 expected, found 3.5",
                 [&] { config.integer("f"); });
  expect_refused("zero: a whole number of at least 1 expected, found 0",
                 [&] { config.integer("zero"); });
  expect_refused("minus: a whole number of at least 1", [&] { config.integer_or("minus", 1); });
  expect_refused("big: a whole number below 2^31 expected, found 2147483648",
                 [&] { config.integer("big"); });
  expect_refused("huge: a whole number below 2^31", [&] { config.integer("huge"); });
  expect_refused("none: a whole number of at least 1 expected, found nothing",
                 [&] { config.integer("none"); });
  expect_refused("n: a number expected, found nothing", [&] { config.number("n"); });
  expect_refused("s: a number expected, found \"x\"", [&] { config.number_or("s", 1); });
  expect_refused("b: true or false expected, found 1", [&] { config.flag_or("b", false); });
  expect_refused("b: text expected, found 1", [&] { config.text_or("b", ""); });
  expect_refused("o: an object expected, found []", [&] { config.object("o"); });
  for (const char* field : {"ids", "s", "f", "minus", "big"})
    expect_refused(std::string(field) + ": a token id or a list of them expected",
                   [&] { config.token_ids(field); });
  expect_refused("config.json: a JSON object expected, found array", [] { parse("[1]"); });
  expect_refused("config.json: ", [] { parse("{"); });
  expect_refused("key 'a' stands twice", [] { parse(R"({"a": 1, "a": 2})"); });
  const std::string text = R"({"long": ")" + std::string(1000, 'x') + "\"}";
  try {
    parse(text).integer("long");
    FAIL();
  } catch (const Error& error) {
    EXPECT_LT(std::string(error.what()).size(), 200u);
  }
}

QuantizationConfig quantization(const std::string& object) {
  return QuantizationConfig::parse(parse(R"({"quantization": )" + object + "}"));
}

// The global format with something after it.
QuantizationConfig with(const std::string& entries) {
  return quantization(R"({"group_size": 32, "bits": 4, "mode": "mxfp4", )" + entries + "}");
}

Format format(std::string_view mode, int bits, int group_size) {
  return Format::parse(mode, bits, group_size);
}

TEST(QuantizationConfig, ReadsTheGlobalFormat) {
  EXPECT_EQ(quantization(R"({"group_size": 32, "bits": 8, "mode": "mxfp8"})").global(),
            format("mxfp8", 8, 32));
  // Without a mode it is affine; null and 0 are the mode's defaults.
  EXPECT_EQ(quantization(R"({"group_size": 128, "bits": 3})").global(), format("affine", 3, 128));
  EXPECT_EQ(quantization(R"({"group_size": null, "bits": null})").global(),
            format("affine", 4, 64));
  EXPECT_EQ(quantization(R"({"group_size": 0, "bits": 0, "mode": "nvfp4"})").global(),
            format("nvfp4", 4, 16));
  EXPECT_FALSE(QuantizationConfig::parse(parse("{}")).global());
  EXPECT_FALSE(QuantizationConfig::parse(parse(R"({"quantization": null})")).global());
}

TEST(QuantizationConfig, OverridesSayOnlyWhatTheySay) {
  const auto config = with(R"("a": {"group_size": 64, "bits": 8}, "b": {"bits": 6},
      "c": {"mode": "mxfp8"}, "d": true, "e": false, "f": null, "g": {},
      "h": {"group_size": null, "bits": 0, "mode": "nvfp4"})");
  const auto of = [&](const std::string& module) { return config.overrides().at(module); };
  EXPECT_EQ(of("a"), format("affine", 8, 64));  // not mxfp4, although that is the global mode
  EXPECT_EQ(of("b"), format("affine", 6, 64));
  EXPECT_EQ(of("c"), format("mxfp8", 8, 32));
  EXPECT_EQ(of("d"), format("mxfp4", 4, 32));
  EXPECT_EQ(of("e"), std::nullopt);
  EXPECT_EQ(of("f"), std::nullopt);
  EXPECT_EQ(of("g"), std::nullopt);
  EXPECT_EQ(of("h"), format("nvfp4", 4, 16));
  EXPECT_EQ(config.overrides().size(), 8u);
}

TEST(QuantizationConfig, DecidesByOverrideThenByTheScales) {
  const auto config = with(R"("a": {"group_size": 64, "bits": 8}, "off": false)");
  EXPECT_EQ(config.format_of("a", true), format("affine", 8, 64));
  EXPECT_EQ(config.format_of("other", true), format("mxfp4", 4, 32));
  EXPECT_EQ(config.format_of("other", false), std::nullopt);
  EXPECT_EQ(config.format_of("off", false), std::nullopt);
  expect_refused(
      "a: config.json says affine (8 bits, groups of 64), but there is no tensor a.scales",
      [&] { config.format_of("a", false); });
  expect_refused("off: there is a tensor off.scales, but config.json says that it is not quantized",
                 [&] { config.format_of("off", true); });
  expect_refused("w: there is a tensor w.scales, but config.json says that it is not quantized",
                 [] { QuantizationConfig::parse(parse("{}")).format_of("w", true); });
}

TEST(QuantizationConfig, RefusesWhatIsNoFormat) {
  const auto refused = [](const std::string& part, const std::string& object) {
    expect_refused(part, [&] { quantization(object); });
  };
  refused("config.json: quantization: group_size: missing", R"({"bits": 4})");
  refused("config.json: quantization: bits: missing", R"({"group_size": 64, "mode": "affine"})");
  refused("config.json: quantization: group_size: missing", "{}");
  refused("quantization: mode affine has no 7-bit format with groups of 64; legal",
          R"({"group_size": 64, "bits": 7})");
  refused(
      "quantization: mode mxfp8 has no 4-bit format with groups of 32; legal (bits/group size): "
      "8/32",
      R"({"group_size": 32, "bits": 4, "mode": "mxfp8"})");
  refused("quantization: mode nvfp4 has no 4-bit format with groups of 32",
          R"({"group_size": 32, "bits": 4, "mode": "nvfp4"})");
  refused("quantization: unknown quantization mode 'fp8'; known: affine, mxfp4, mxfp8, nvfp4",
          R"({"group_size": 32, "bits": 8, "mode": "fp8"})");
  refused("quantization: mode: text expected, found 3",
          R"({"group_size": 32, "bits": 8, "mode": 3})");
  refused("quantization: bits: a whole number of at least 0 expected, found -4",
          R"({"group_size": 32, "bits": -4})");
  refused("quantization: bits: a whole number", R"({"group_size": 32, "bits": "4"})");
  refused("quantization: bits: a whole number", R"({"group_size": 32, "bits": 4.0})");
  refused("quantization: group_size: a whole number below 2^31",
          R"({"group_size": 4294967328, "bits": 4})");
  refused("config.json: quantization: an object expected, found 4", "4");
}

TEST(QuantizationConfig, RefusesOverridesThatSayNothing) {
  const auto refused = [](const std::string& part, const std::string& entries) {
    expect_refused("config.json: quantization: " + part, [&] { with(entries); });
  };
  refused("lm_head: mode affine has no 4-bit format with groups of 16",
          R"("lm_head": {"group_size": 16, "bits": 4})");
  refused("lm_head: mode mxfp4 has no 8-bit format", R"("lm_head": {"bits": 8, "mode": "mxfp4"})");
  refused("lm_head: unknown quantization mode 'int4'", R"("lm_head": {"mode": "int4"})");
  refused("lm_head: unknown field 'group'; known: group_size, bits, mode",
          R"("lm_head": {"bits": 4, "group": 32})");
  for (const char* value : {"4", "\"affine\"", "[]", "[true]", "1.5"})
    refused("lm_head: an object, true or false expected, found ",
            R"("lm_head": )" + std::string(value));
  expect_error(ErrorKind::kUnsupported, "quantize_activations",
               [] { with(R"("quantize_activations": true)"); });
  EXPECT_TRUE(with(R"("quantize_activations": false)").overrides().empty());
}

TEST(QuantizationConfig, HoldsBothKeysAgainstEachOther) {
  const auto both = [](const std::string& other) {
    return QuantizationConfig::parse(
        parse(R"({"quantization": {"group_size": 64, "bits": 4}, "quantization_config": )" + other +
              "}"));
  };
  EXPECT_EQ(both(R"({"group_size": 64, "bits": 4})").global(), format("affine", 4, 64));
  EXPECT_EQ(both(R"({"bits": 4, "group_size": 64})").global(), format("affine", 4, 64));
  EXPECT_EQ(both("null").global(), format("affine", 4, 64));
  // What another tool said of the tensors it was converted from does not matter any more.
  EXPECT_EQ(both(R"({"quant_method": "fp8"})").global(), format("affine", 4, 64));
  for (const char* other : {R"({"group_size": 64, "bits": 8})", R"({"group_size": 64})",
                            R"({"group_size": 64, "bits": 4, "lm_head": false})"})
    expect_refused("config.json: quantization and quantization_config contradict each other",
                   [&] { both(other); });
  EXPECT_EQ(
      QuantizationConfig::parse(parse(R"({"quantization_config": {"group_size": 32, "bits": 5}})"))
          .global(),
      format("affine", 5, 32));
}

TEST(QuantizationConfig, KnowsTheMethodOfGptOss) {
  EXPECT_EQ(QuantizationConfig::parse(parse(R"({"quantization_config": {
      "quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn"]}})"))
                .global(),
            format("mxfp4", 4, 32));
}

TEST(QuantizationConfig, RefusesTheMethodsOfOtherTools) {
  for (const char* method : {"awq", "gptq"})
    expect_error(ErrorKind::kUnsupported,
                 "config.json: quantization_config: quant_method: '" + std::string(method) + "'",
                 [&] {
                   QuantizationConfig::parse(parse(R"({"quantization_config": {"bits": 4,
                       "group_size": 64, "quant_method": ")" +
                                                   std::string(method) + R"("}})"));
                 });
}

TEST(QuantizationConfig, WritesFormatsAsItReadsThem) {
  for (const Format expected : Format::all())
    EXPECT_EQ(quantization(dump_json(format_json(expected))).global(), expected);
}

}  // namespace
}  // namespace strake
