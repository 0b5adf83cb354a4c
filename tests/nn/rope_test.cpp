#include "nn/rope.h"

#include <gtest/gtest.h>

#include <cmath>

#include "io/expect_error.h"
#include "quant/tensors.h"

namespace strake {
namespace {

RopeTable rope(std::string_view config, int64_t dims = 16) {
  return make_rope(ModelConfig::parse(config, "config.json"), dims, 10000.0);
}

// To one rounding of float32, or as many as the other implementation has.
void expect_frequencies(const RopeTable& table, const std::vector<double>& expected,
                        int roundings = 1) {
  const auto found = floats(table.frequencies);
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i)
    EXPECT_NEAR(found[i], expected[i], expected[i] * roundings * 0x1p-24) << i;
}

TEST(Rope, TurnsHalvesAtPowersOfTheta) {
  const RopeTable table = rope("{}", 8);
  EXPECT_EQ(table.pairs, RopeTable::Pairs::kHalves);
  EXPECT_EQ(table.dims, 8);
  EXPECT_EQ(table.magnitude, 1.0f);
  expect_frequencies(table, {1, 0.1, 0.01, 0.001});
  expect_frequencies(rope(R"({"rope_theta": 16, "rope_scaling": null})", 8), {1, 0.5, 0.25, 0.125});
  expect_frequencies(rope(R"({"rope_theta": 16, "rope_scaling": {"type": "default"}})", 8),
                     {1, 0.5, 0.25, 0.125});
}

TEST(Rope, LinearScalingSlowsAll) {
  expect_frequencies(
      rope(R"({"rope_theta": 16, "rope_scaling": {"type": "linear", "factor": 4}})", 8),
      {0.25, 0.125, 0.0625, 0.03125});
}

// The expected numbers are numpy's, computed in float64 from the inverse frequencies.
TEST(Rope, Llama3ScalingSlowsLongWavelengths) {
  expect_frequencies(
      rope(R"({"rope_theta": 500000.0, "rope_scaling": {"rope_type": "llama3", "factor": 8.0,
               "low_freq_factor": 1.0, "high_freq_factor": 4.0,
               "original_max_position_embeddings": 512}})"),
      {1.0, 0.19392274474868576, 0.02734413731472131, 0.0009115830921521386, 0.00017677669529663688,
       3.428102195952591e-05, 6.647869871181235e-06, 1.2891731721515574e-06});
  // What is not said is 1, 4 and 8192.
  expect_frequencies(
      rope(R"({"rope_theta": 500000, "rope_scaling": {"type": "llama3", "factor": 32}})"),
      {1.0, 0.19392274474868576, 0.03760603093086393, 0.0072926647372171085, 0.0004295567965593682,
       8.570255489881478e-06, 1.661967467795309e-06, 3.2229329303788936e-07});
}

// The expected numbers of yarn and longrope are those of transformers 5.24.0, in float32:
// ROPE_INIT_FUNCTIONS[type](LlamaConfig(..., rope_parameters=...)).
constexpr int kRoundings = 8;

TEST(Rope, YarnSlowsPairsByTheirTurns) {
  const RopeTable table = rope(R"({"rope_theta": 10000, "rope_scaling": {"type": "yarn",
      "factor": 40, "original_max_position_embeddings": 512, "mscale": 1.0,
      "mscale_all_dim": 0.5}})");
  expect_frequencies(
      table,
      {1.0, 0.23914724588394165, 0.051249999552965164, 0.008498622104525566, 0.0002500000118743628,
       7.905694656074047e-05, 2.499999936844688e-05, 7.905694474175107e-06},
      kRoundings);
  EXPECT_NEAR(table.magnitude, 1.1557219901962608, 1e-7);
  // Without mscale: 1 for the numerator alone.
  const RopeTable plain = rope(R"({"rope_theta": 10000, "rope_parameters": {"rope_type":
      "deepseek_yarn", "factor": 4, "original_max_position_embeddings": 2048, "beta_fast": 16,
      "beta_slow": 2}})");
  expect_frequencies(
      plain,
      {1.0, 0.3162277638912201, 0.10000000149011612, 0.023717083036899567, 0.004999999888241291,
       0.0007905694656074047, 0.0002500000118743628, 7.905694656074047e-05},
      kRoundings);
  EXPECT_NEAR(plain.magnitude, 1.138629436111989, 1e-7);
}

TEST(Rope, YarnMayKeepTheRangeOfItsRampAsItIs) {
  const RopeTable table = rope(R"({"rope_theta": 150000, "rope_scaling": {"rope_type": "yarn",
      "factor": 32, "original_max_position_embeddings": 4096, "beta_fast": 32, "beta_slow": 1,
      "truncate": false}})");
  expect_frequencies(
      table,
      {1.0, 0.22541800141334534, 0.05081327259540558, 0.006794959306716919, 0.0004564839182421565,
       1.818833698052913e-05, 4.099978468730114e-06, 9.242089618055616e-07},
      kRoundings);
  EXPECT_NEAR(table.magnitude, 1.3465735902799727, 1e-7);
}

TEST(Rope, YarnTakesWhatTheConfigSays) {
  const auto with = [](const std::string& fields) {
    return rope(
        R"({"max_position_embeddings": 8192, "rope_scaling": {"type": "yarn", "factor": 4)" +
        fields + "}}");
  };
  EXPECT_EQ(with(R"(, "attention_factor": 1.5)").magnitude, 1.5f);
  // Positions of the original that are not said are those of the config.
  EXPECT_TRUE(floats(with("").frequencies) ==
              floats(with(R"(, "original_max_position_embeddings": 8192)").frequencies));
}

TEST(Rope, LongropeHasAFactorForEachPair) {
  const std::string_view config = R"({"max_position_embeddings": 8192, "rope_scaling":
      {"type": "longrope", "short_factor": [1, 1, 1, 1], "long_factor": [1.5, 2, 4, 8],
       "original_max_position_embeddings": 1024}})";
  const RopeTable table = rope(config, 8);
  expect_frequencies(
      table,
      {0.6666666865348816, 0.05000000074505806, 0.0024999999441206455, 0.0001250000059371814},
      kRoundings);
  EXPECT_NEAR(table.magnitude, 1.140175425099138, 1e-7);
  expect_error(ErrorKind::kCheckpoint, "rope_scaling: long_factor: 8 numbers expected, found 4",
               [&] { rope(config, 16); });
}

TEST(Rope, ReadsHowMuchOfAHeadTurns) {
  const auto dims = [](std::string_view config) {
    return rotary_dims(ModelConfig::parse(config, "config.json"), 64);
  };
  EXPECT_EQ(dims("{}"), 64);
  EXPECT_EQ(dims(R"({"partial_rotary_factor": 0.5})"), 32);
  EXPECT_EQ(dims(R"({"rope_parameters": {"partial_rotary_factor": 0.25}})"), 16);
  for (const char* factor : {"0", "1.5", "-1"})
    expect_error(ErrorKind::kCheckpoint, "partial_rotary_factor: a number above 0 and up to 1",
                 [&] { dims(R"({"partial_rotary_factor": )" + std::string(factor) + "}"); });
}

TEST(Rope, YarnMayScaleScores) {
  const auto scale = [](std::string_view config) {
    return rope_score_scale(ModelConfig::parse(config, "config.json"));
  };
  EXPECT_EQ(scale("{}"), 1.0f);
  EXPECT_EQ(scale(R"({"rope_scaling": {"type": "linear", "factor": 40, "mscale_all_dim": 1}})"),
            1.0f);
  EXPECT_EQ(scale(R"({"rope_scaling": {"type": "yarn", "factor": 40}})"), 1.0f);
  // (0.1 ln 40 + 1)^2
  EXPECT_NEAR(scale(R"({"rope_scaling": {"type": "yarn", "factor": 40, "mscale_all_dim": 1}})"),
              1.8738542070926265, 1e-6);
}

TEST(Rope, ReadsRopeParametersToo) {
  expect_frequencies(rope(R"({"rope_theta": 7, "rope_parameters":
               {"rope_type": "linear", "rope_theta": 16, "factor": 2}})",
                          8),
                     {0.5, 0.25, 0.125, 0.0625});
  expect_frequencies(rope(R"({"rope_parameters": {"rope_type": "default"}})", 8),
                     {1, 0.1, 0.01, 0.001});
}

void expect_refused(const std::string& part, std::string_view config, int64_t dims = 16,
                    ErrorKind kind = ErrorKind::kCheckpoint) {
  expect_error(kind, part, [&] { rope(config, dims); });
}

TEST(Rope, RefusesTypesItDoesNotKnow) {
  for (const char* type : {"dynamic", "mrope", ""})
    expect_refused("config.json: rope_scaling: rope type '" + std::string(type) +
                       "' is not supported; known: default, linear, llama3, "
                       "yarn, deepseek_yarn, longrope",
                   R"({"rope_scaling": {"rope_type": ")" + std::string(type) + R"("}})", 16,
                   ErrorKind::kUnsupported);
}

TEST(Rope, RefusesFieldsThatMakeNoFrequencies) {
  expect_refused("config.json: rope_theta: a number above 0", R"({"rope_theta": 0})");
  expect_refused("config.json: rope_theta: a number above 0", R"({"rope_theta": -5})");
  expect_refused("config.json: rope_theta: a number expected", R"({"rope_theta": "big"})");
  expect_refused("config.json: rope_scaling: an object expected", R"({"rope_scaling": 3})");
  expect_refused("rope_scaling: rope_type: text expected", R"({"rope_scaling": {"rope_type": 3}})");
  expect_refused("config.json: rope_scaling: factor: a number expected, found nothing",
                 R"({"rope_scaling": {"type": "linear"}})");
  for (const char* factor : {"0", "-2"}) {
    expect_refused(
        "rope_scaling: factor: a number above 0 expected",
        R"({"rope_scaling": {"type": "linear", "factor": )" + std::string(factor) + "}}");
    expect_refused(
        "rope_scaling: factor: a number above 0 expected, found " + std::string(factor),
        R"({"rope_scaling": {"type": "llama3", "factor": )" + std::string(factor) + "}}");
  }
  const auto llama3 = [](const std::string& fields) {
    return R"({"rope_scaling": {"type": "llama3", "factor": 8, )" + fields + "}}";
  };
  for (const char* fields : {R"("low_freq_factor": 4)", R"("high_freq_factor": 0.5)"})
    expect_refused("rope_scaling: high_freq_factor: above low_freq_factor", llama3(fields));
  for (const char* field : {"low_freq_factor", "original_max_position_embeddings"})
    for (const char* value : {"0", "-1"})
      expect_refused("rope_scaling: " + std::string(field) + ": a number above 0 expected, found ",
                     llama3("\"" + std::string(field) + "\": " + value));
  for (const int64_t dims : {0, 1, 7, 65538})
    expect_refused("config.json: heads of " + std::to_string(dims) + " elements: an even number",
                   "{}", dims);
}

}  // namespace
}  // namespace strake
