// strake bench on one rank.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "run.h"

namespace strake {
namespace {

using testing::HasSubstr;

const std::string kQuick = " --contexts 4,12 --tokens 3 --repeats 1 ";

void expect_usage_error(const std::string& arguments, const std::string& message) {
  const RunResult result = run_strake("bench " + arguments);
  EXPECT_EQ(result.code, 2) << result.err;
  EXPECT_THAT(result.err, HasSubstr(message));
  EXPECT_EQ(result.out, "");
}

TEST(CliBench, TellsAllThatItMeasured) {
  const RunResult result = run_strake("bench --json --threads 1 --path portable" + kQuick);
  ASSERT_EQ(result.code, 0) << result.err;
  const Json json = result.json();
  EXPECT_EQ(json.at("model"), "tiny-llama-mxfp8");
  EXPECT_EQ(json.at("layers"), 4);
  EXPECT_EQ(json.at("format"), "mxfp8 (8 bits, groups of 32)");
  EXPECT_EQ(json.at("device"), "cpu");
  ASSERT_EQ(json.at("runs").size(), 1u);
  const Json& run = json.at("runs")[0];
  EXPECT_EQ(run.at("ranks"), 1);
  EXPECT_EQ(run.at("threads"), 1);
  EXPECT_EQ(run.at("path"), "portable");
  // The embedding is the output layer too: a token reads every weight.
  EXPECT_EQ(run.at("bytes_per_rank").size(), 1u);
  EXPECT_EQ(run.at("bytes_per_rank")[0], run.at("weight_bytes_per_token"));
  for (const char* probe : {"read_bytes_per_second", "operations_per_second", "adds_per_cycle"})
    EXPECT_GT(run.at("probes").at(probe), 0) << probe;
  ASSERT_EQ(run.at("contexts").size(), 2u);
  EXPECT_EQ(run.at("contexts")[1].at("context"), 12);
  for (const Json& row : run.at("contexts")) {
    EXPECT_GT(row.at("time_to_first_token"), 0);
    const Json &prefill = row.at("prefill"), &decode = row.at("decode");
    EXPECT_GT(prefill.at("share_of_product_rate"), 0);
    EXPECT_GT(decode.at("share_of_read_bandwidth"), 0);
    EXPECT_GE(decode.at("collective_seconds"), 0);
    EXPECT_LE(decode.at("collective_seconds"), decode.at("seconds_per_token"));
    EXPECT_NEAR(prefill.at("tokens_per_second").get<double>() * prefill.at("seconds").get<double>(),
                row.at("context").get<double>(), 1e-6);
  }
}

TEST(CliBench, PrintsATableWithThePath) {
  const RunResult result = run_strake("bench --path portable" + kQuick);
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("tiny-llama-mxfp8, 4 layers, mxfp8 (8 bits, groups of 32)"));
  EXPECT_THAT(result.out, HasSubstr("portable"));
  EXPECT_THAT(result.out, HasSubstr("3.59 MB"));
}

TEST(CliBench, ShapesNeedNoFiles) {
  const std::string shape = "bench --json --shape smollm2-135m --layers 1" + kQuick;
  const Json mxfp8 = run_strake(shape).json();
  EXPECT_EQ(mxfp8.at("model"), "smollm2-135m");
  EXPECT_EQ(mxfp8.at("layers"), 1);
  EXPECT_EQ(mxfp8.at("format"), "mxfp8 (8 bits, groups of 32)");
  const Json bf16 = run_strake(shape + "--mode bf16").json();
  EXPECT_EQ(bf16.at("format"), "dense");
  const auto bytes = [](const Json& json) {
    return json.at("runs")[0].at("weight_bytes_per_token").get<double>();
  };
  EXPECT_NEAR(bytes(bf16) / bytes(mxfp8), 16 / 8.25, 0.01);
  const Json affine = run_strake(shape + "--mode affine --bits 8 --group-size 32").json();
  EXPECT_EQ(affine.at("format"), "affine (8 bits, groups of 32)");
}

TEST(CliBench, MisuseIsAUsageError) {
  expect_usage_error("--shape llama-9b", "'llama-9b' is not known; known: smollm2-135m, llama-1b");
  expect_usage_error("--shape glm-5", "--layers and --routed-experts cut the model");
  expect_usage_error("--shape llama-8b --model " + kShipped, "one of --model and --shape");
  expect_usage_error("--layers 2", "no meaning without --shape");
  expect_usage_error("--shape llama-8b --layers 33", "--layers: 1 to 32 expected");
  expect_usage_error("--shape llama-8b --mode bf16 --bits 4", "no meaning with --mode bf16");
  expect_usage_error("--shape llama-8b --mode mxfp8 --bits 4", "mxfp8");
  expect_usage_error("--contexts 0", "--contexts");
  expect_usage_error("--ranks 17", "the nearest that works is 16");
  expect_usage_error("--ranks 1,2 --share 2,1", "1 weights expected");
  expect_usage_error("--plot " + kShipped + "/config.json", "exists already");
}

}  // namespace
}  // namespace strake
