#include "engine/sampler.h"

#include <gmock/gmock.h>

#include <cmath>
#include <fstream>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "base/json.h"
#include "strake/base/error.h"

namespace strake {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

void expect_error(ErrorKind kind, const std::string& part, const std::function<void()>& body) {
  try {
    body();
    ADD_FAILURE() << "no error; one that says \"" << part << "\" was expected";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    EXPECT_THAT(error.what(), testing::HasSubstr(part));
  }
}

// The rule of scripts/goldens/sampler.py.
std::vector<float> golden_logits(const Json& golden) {
  const int drop = golden.at("drop");
  std::vector<float> logits(golden.at("vocabulary").get<size_t>());
  uint64_t index = golden.at("logits").get<uint64_t>() << 32;
  for (float& logit : logits) {
    uint64_t word = index++ * 0x9e3779b97f4a7c15u;
    word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9u;
    word = (word ^ (word >> 27)) * 0x94d049bb133111ebu;
    word ^= word >> 31;
    int64_t bell = -2 * 65535;
    for (int shift = 0; shift < 64; shift += 16)
      bell += static_cast<int64_t>(word >> shift & 65535);
    logit = std::ldexp(static_cast<float>(bell >> drop), drop - 13);
  }
  return logits;
}

SamplingOptions golden_options(const Json& json) {
  SamplingOptions options;
  size_t read = 0;
  const auto take = [&](const char* name, auto& value) {
    if (!json.contains(name)) return;
    json.at(name).get_to(value);
    ++read;
  };
  take("temperature", options.temperature);
  take("top_p", options.top_p);
  take("min_p", options.min_p);
  take("top_k", options.top_k);
  take("min_tokens_to_keep", options.min_tokens_to_keep);
  take("xtc_probability", options.xtc_probability);
  take("xtc_threshold", options.xtc_threshold);
  take("xtc_special_tokens", options.xtc_special_tokens);
  take("repetition_penalty", options.repetition_penalty);
  take("repetition_context_size", options.repetition_context_size);
  take("presence_penalty", options.presence_penalty);
  take("presence_context_size", options.presence_context_size);
  take("frequency_penalty", options.frequency_penalty);
  take("frequency_context_size", options.frequency_context_size);
  take("seed", options.seed);
  if (json.contains("logit_bias")) {
    for (const auto& [token, bias] : json.at("logit_bias").items())
      options.logit_bias[std::stoi(token)] = bias.get<float>();
    ++read;
  }
  EXPECT_EQ(read, json.size()) << json;
  return options;
}

TEST(Sampler, TokensEqualMlxLm) {
  std::ifstream file(STRAKE_TEST_DATA "/engine/sampler.jsonl");
  int cases = 0;
  for (std::string line; std::getline(file, line); ++cases) {
    const Json golden = parse_json(line, "sampler.jsonl");
    const auto logits = golden_logits(golden);
    Sampler sampler(golden_options(golden.at("options")));
    auto history = golden.at("prompt").get<std::vector<int32_t>>();
    const auto prompt = static_cast<std::ptrdiff_t>(history.size());
    for (int step = golden.at("steps"); step > 0; --step)
      history.push_back(sampler.sample(logits, history));
    EXPECT_EQ(std::vector<int32_t>(history.begin() + prompt, history.end()),
              golden.at("tokens").get<std::vector<int32_t>>())
        << line;
  }
  EXPECT_GT(cases, 200);
}

TEST(Sampler, GreedyTakesTheLowestOfEqualsWhateverTheFilters) {
  const std::vector<float> logits{1, 3, -kInfinity, 3, 2};
  EXPECT_EQ(Sampler({}).sample(logits, {}), 1);
  EXPECT_EQ(Sampler({.top_p = 0.1, .top_k = 99, .seed = 5}).sample(logits, {}), 1);
}

TEST(Sampler, ASeedRepeatsItsTokensAndACopyContinuesThem) {
  const auto logits = golden_logits({{"drop", 0}, {"vocabulary", 512}, {"logits", 1}});
  const auto run = [&](Sampler& sampler) {
    std::vector<int32_t> tokens;
    for (int step = 0; step < 32; ++step) tokens.push_back(sampler.sample(logits, {}));
    return tokens;
  };
  Sampler first({.temperature = 1, .seed = 9});
  Sampler second({.temperature = 1, .seed = 9});
  Sampler other({.temperature = 1, .seed = 10});
  const auto tokens = run(first);
  EXPECT_EQ(run(second), tokens);
  EXPECT_NE(run(other), tokens);
  Sampler copy = first;
  EXPECT_EQ(run(copy), run(first));
}

TEST(Sampler, FrequenciesFollowTheTemperature) {
  const std::vector<float> logits{0, std::log(4.0f), -kInfinity, std::log(16.0f)};
  Sampler sampler({.temperature = 2, .seed = 4});  // weights 1, 2, 0, 4
  std::vector<int> counts(4);
  for (int draw = 0; draw < 7000; ++draw) ++counts[sampler.sample(logits, {})];
  EXPECT_NEAR(counts[0], 1000, 120);
  EXPECT_NEAR(counts[1], 2000, 150);
  EXPECT_EQ(counts[2], 0);
  EXPECT_NEAR(counts[3], 4000, 170);
}

TEST(Sampler, ExtremeTemperaturesAndLogitsStillDraw) {
  const std::vector<float> logits{-3e38f, 2, 3e38f, -kInfinity, 3e38f};
  for (const double temperature : {1e-30, 1.0, 1e30}) {
    Sampler sampler({.temperature = temperature, .min_p = 0.5, .seed = 1});
    for (int draw = 0; draw < 50; ++draw) {
      const int32_t token = sampler.sample(logits, {});
      EXPECT_TRUE(token == 2 || token == 4) << token;
    }
  }
}

TEST(Sampler, RefusesLogitsThatNameNoToken) {
  const auto refuse = [](std::vector<float> logits, const std::string& part) {
    for (const double temperature : {0.0, 1.0})
      expect_error(ErrorKind::kCheckpoint, part,
                   [&] { Sampler({.temperature = temperature}).sample(logits, {}); });
  };
  refuse({}, "logits: a number above -infinity expected, found none among 0");
  refuse({-kInfinity, -kInfinity}, "logits: a number above -infinity expected, found none among 2");
  refuse({0, kNaN, 1}, "logits: numbers below infinity expected, found nan at token 1");
  refuse({0, 1, kInfinity}, "logits: numbers below infinity expected, found inf at token 2");
}

TEST(Sampler, RefusesOptionsOutOfTheirRange) {
  const auto refuse = [](const SamplingOptions& options, const std::string& part) {
    expect_error(ErrorKind::kUsage, part, [&] { Sampler{options}; });
  };
  refuse({.temperature = -1}, "temperature: 0, or 1e-30 to 1e+30 expected, found -1");
  refuse({.temperature = 1e-31}, "temperature: 0, or 1e-30 to 1e+30 expected, found 1e-31");
  refuse({.temperature = std::nan("")}, "temperature: 0, or 1e-30 to 1e+30 expected, found nan");
  refuse({.top_p = 1.5}, "top_p: 0 to 1 expected, found 1.5");
  refuse({.min_p = -0.1}, "min_p: 0 to 1 expected, found -0.1");
  refuse({.top_k = -1}, "top_k: at least 0 expected, found -1");
  refuse({.min_tokens_to_keep = 0}, "min_tokens_to_keep: at least 1 expected, found 0");
  refuse({.xtc_probability = 2}, "xtc_probability: 0 to 1 expected, found 2");
  refuse({.xtc_threshold = 0.6}, "xtc_threshold: 0 to 0.5 expected, found 0.6");
  refuse({.xtc_special_tokens = {-4}}, "xtc_special_tokens: tokens from 0 to 2147483647 expected");
  refuse({.repetition_penalty = -1}, "repetition_penalty: 0, or 1e-30 to 1e+30 expected, found -1");
  refuse({.repetition_context_size = -1}, "repetition_context_size: at least 0 expected, found -1");
  refuse({.presence_penalty = kInfinity}, "presence_penalty: -1e+30 to 1e+30 expected, found inf");
  refuse({.presence_context_size = -1}, "presence_context_size: at least 0 expected, found -1");
  refuse({.frequency_penalty = kNaN}, "frequency_penalty: -1e+30 to 1e+30 expected, found nan");
  refuse({.frequency_context_size = -1}, "frequency_context_size: at least 0 expected, found -1");
  refuse({.logit_bias = {{-1, 1.0f}}},
         "logit_bias: tokens from 0 to 2147483647 expected, found -1");
  refuse({.logit_bias = {{3, kNaN}}}, "logit_bias of token 3: -1e+30 to 1e+30 expected, found nan");
}

TEST(Sampler, RefusesWhatDoesNotFitTheVocabulary) {
  const std::vector<float> logits{0, 1, 2};
  const auto refuse = [&](const SamplingOptions& options, const std::string& part,
                          std::vector<int32_t> history = {}) {
    expect_error(ErrorKind::kUsage, part, [&] { Sampler(options).sample(logits, history); });
  };
  refuse({.temperature = 1, .top_k = 3}, "top_k: less than the vocabulary of 3 expected, found 3");
  refuse({.temperature = 1, .min_p = 0.1, .min_tokens_to_keep = 4},
         "min_tokens_to_keep: at most the vocabulary of 3 expected, found 4");
  refuse({.temperature = 1, .xtc_probability = 1, .xtc_special_tokens = {3}},
         "xtc_special_tokens: tokens from 0 to 2 expected, found 3");
  refuse({.logit_bias = {{3, 1.0f}}}, "logit_bias: tokens from 0 to 2 expected, found 3");
  refuse({.repetition_penalty = 2}, "history: tokens from 0 to 2 expected, found -1", {0, -1});
  refuse({.presence_penalty = 2}, "history: tokens from 0 to 2 expected, found 3", {3, 0});
  refuse({.frequency_penalty = 2}, "history: tokens from 0 to 2 expected, found 7", {7});
}

TEST(Sampler, RefusesPenaltiesThatLeaveFloat32) {
  const std::vector<float> logits{0, 1e10f};
  const std::vector<int32_t> history{1};
  expect_error(ErrorKind::kUsage,
               "logits after bias and penalties: numbers below infinity expected, found inf at "
               "token 1",
               [&] { Sampler({.repetition_penalty = 1e-30}).sample(logits, history); });
}

}  // namespace
}  // namespace strake
