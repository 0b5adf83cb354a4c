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

// To one rounding of float32.
void expect_frequencies(const RopeTable& table, const std::vector<double>& expected) {
  const auto found = floats(table.frequencies);
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i)
    EXPECT_NEAR(found[i], expected[i], expected[i] * 0x1p-24) << i;
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
  for (const char* type : {"yarn", "dynamic", "longrope", ""})
    expect_refused("config.json: rope_scaling: rope type '" + std::string(type) +
                       "' is not supported; known: default, linear, llama3",
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
        "rope_scaling: factor " + std::string(factor),
        R"({"rope_scaling": {"type": "llama3", "factor": )" + std::string(factor) + "}}");
  }
  for (const char* fields :
       {R"("low_freq_factor": 0)", R"("low_freq_factor": 4)", R"("high_freq_factor": 0.5)",
        R"("original_max_position_embeddings": 0)", R"("original_max_position_embeddings": -1)"})
    expect_refused(
        "must be above 0, and the low one below the high one",
        R"({"rope_scaling": {"type": "llama3", "factor": 8, )" + std::string(fields) + "}}");
  for (const int64_t dims : {0, 1, 7, 65538})
    expect_refused("config.json: heads of " + std::to_string(dims) + " elements: an even number",
                   "{}", dims);
}

}  // namespace
}  // namespace strake
