// The commands on one rank: results, JSON, errors and exit codes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "io/safetensors.h"
#include "run.h"

namespace strake {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

// A fresh directory for outputs, and a copy of the tiny model in it that tests may damage.
class Cli : public testing::Test {
 protected:
  std::string path(const std::string& name) const { return (directory_.path() / name).string(); }
  std::string damaged_model() const {
    fs::copy(kShipped, path("model"));
    return path("model");
  }
  static void replace(const std::string& file, const std::string& from, const std::string& to) {
    std::string text = read_text_file(file);
    const size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    std::ofstream(file, std::ios::trunc) << text.replace(at, from.size(), to);
  }
  static void expect_error(const RunResult& result, int code, const std::string& message) {
    EXPECT_EQ(result.code, code) << result.err;
    EXPECT_THAT(result.err, HasSubstr(message));
    EXPECT_EQ(result.out, "");
  }

 private:
  TemporaryDirectory directory_;
};

TEST_F(Cli, HelpNamesEveryCommand) {
  const RunResult help = run_strake("--help");
  EXPECT_EQ(help.code, 0);
  for (const char* command :
       {"generate", "chat", "score", "quantize", "import", "inspect", "verify", "bench"}) {
    EXPECT_THAT(help.out, HasSubstr(command));
    const RunResult own = run_strake(std::string(command) + " --help");
    EXPECT_EQ(own.code, 0);
    EXPECT_THAT(own.out, HasSubstr("--json"));
  }
  EXPECT_EQ(run_strake("--version").code, 0);
}

TEST_F(Cli, MisuseIsAUsageError) {
  expect_error(run_strake(""), 2, "subcommand");
  expect_error(run_strake("generate --no-such-option"), 2, "--no-such-option");
  expect_error(run_strake("generate --prompt a --ids 1"), 2, "one of --prompt, --chat and --ids");
  expect_error(run_strake("generate --ids 1,x"), 2, "--ids");
  expect_error(run_strake("generate --ids 99999"), 2, "2048");
  expect_error(run_strake("generate --ids 1 --device tpu"), 4, "cpu");
  expect_error(run_strake("generate --ids 1 --ranks 17"), 2, "the nearest that works is 16");
  expect_error(run_strake("generate --ids 1 --ranks 3 --share 2,1"), 2, "3 weights expected");
  expect_error(run_strake("score --ids 1"), 2, "at least 2 tokens");
  expect_error(run_strake("generate --chat hello"), 2, "chat template");
}

TEST_F(Cli, BadSamplingOptionsAreNamedWithWhatIsExpectedAndFound) {
  for (const auto& [option, message] : std::vector<std::pair<std::string, std::string>>{
           {"--temperature -1", "--temperature: 0, or 1e-30 to 1e+30 expected, found -1"},
           {"--temperature warm", "--temperature: a number expected, found 'warm'"},
           {"--top-p 2", "--top-p: 0 to 1 expected, found 2"},
           {"--top-p ''", "--top-p: a number expected, found ''"},
           {"--min-p nan", "--min-p: 0 to 1 expected, found nan"},
           {"--top-k -1", "--top-k: at least 0 expected, found -1"},
           {"--top-k 1.5",
            "--top-k: a whole number from -2147483648 to 2147483647 expected, found"},
           {"--min-tokens-to-keep 0", "--min-tokens-to-keep: at least 1 expected, found 0"},
           {"--xtc-probability 1.1", "--xtc-probability: 0 to 1 expected, found 1.1"},
           {"--xtc-threshold 0.6", "--xtc-threshold: 0 to 0.5 expected, found 0.6"},
           {"--repetition-penalty -2",
            "--repetition-penalty: 0, or 1e-30 to 1e+30 expected, found"},
           {"--repetition-context-size -1", "--repetition-context-size: at least 0 expected"},
           {"--presence-penalty inf", "--presence-penalty: -1e+30 to 1e+30 expected, found inf"},
           {"--presence-context-size -1", "--presence-context-size: at least 0 expected"},
           {"--frequency-penalty x", "--frequency-penalty: a number expected, found 'x'"},
           {"--frequency-context-size -1", "--frequency-context-size: at least 0 expected"},
           {"--seed -1", "--seed: a whole number from 0 to 18446744073709551615 expected, found"},
           {"--logit-bias 5", "--logit-bias: a token id and a number, as 50=-1.5, expected, found"},
           {"--logit-bias 5=1e99", "50=-1.5, expected, found '5=1e99'"},
           {"--logit-bias -5=1", "--logit-bias: tokens from 0 to 2147483647 expected, found -5"},
           {"--logit-bias 5=nan", "--logit-bias of token 5: -1e+30 to 1e+30 expected, found nan"},
           {"--logit-bias 5=1 --logit-bias 5=2", "--logit-bias: each token once expected, found 5"},
           {"--stop ''", "--stop: a text expected, found an empty one"}}) {
    // Before a model is looked for.
    expect_error(run_strake("generate --ids 1 --model absent " + option), 2, message);
    expect_error(run_strake("chat --model absent " + option), 2, message);
  }
  expect_error(run_strake("generate --ids 1 --logit-bias 2048=1"), 2, "tokens from 0 to 2047");
  const std::string model = damaged_model();
  fs::remove(model + "/tokenizer.json");
  expect_error(run_strake("generate --ids 1 --stop a --model " + model), 2,
               "--stop: a model with tokenizer.json expected");
}

TEST_F(Cli, GenerateTellsWhatItDid) {
  const RunResult result = run_strake("generate --prompt 'Emma was' --max-tokens 8 --json");
  ASSERT_EQ(result.code, 0) << result.err;
  const Json json = result.json();
  EXPECT_EQ(json.at("tokens").size(), 8u);
  EXPECT_EQ(json.at("ranks"), 1);
  EXPECT_EQ(json.at("bytes_per_rank").size(), 1u);
  EXPECT_GT(json.at("decode_tokens_per_second").get<double>(), 0);
  EXPECT_EQ(json.at("finish_reason"), "length");
  const RunResult text = run_strake("generate --prompt 'Emma was' --max-tokens 8");
  EXPECT_EQ(text.out, json.at("text").get<std::string>() + "\n");
  EXPECT_THAT(text.err, HasSubstr(json.at("logits_hash").get<std::string>()));
}

TEST_F(Cli, SeedsDecideSampledText) {
  const std::string sampled =
      "generate --ids 35,79,368 --max-tokens 12 --temperature 1 --json --seed ";
  const auto tokens = [&](const char* seed) {
    return run_strake(sampled + seed).json().at("tokens");
  };
  EXPECT_EQ(tokens("1"), tokens("1"));
  EXPECT_NE(tokens("1"), tokens("2"));
}

TEST_F(Cli, BiasAndPenaltiesDecideTokens) {
  const std::string generate =
      "generate --ids 35 --max-tokens 3 --json --logit-bias 35=-1e4 --logit-bias 420=1e4 ";
  EXPECT_EQ(run_strake(generate).json().at("tokens"), Json({420, 420, 420}));
  for (const std::string kind : {"presence", "frequency", "repetition"}) {
    const std::string penalized = generate + "--" + kind + "-penalty 1e5 ";
    const Json all = run_strake(penalized).json().at("tokens");
    EXPECT_EQ(all[0], 420) << kind;
    EXPECT_NE(all[1], 420) << kind;
    EXPECT_NE(all[2], 420) << kind;
    const Json latest = run_strake(penalized + "--" + kind + "-context-size 1").json().at("tokens");
    EXPECT_EQ(latest[0], 420) << kind;
    EXPECT_NE(latest[1], 420) << kind;
    EXPECT_EQ(latest[2], 420) << kind;
  }
}

TEST_F(Cli, XtcLeavesLineBreaks) {
  // Every token but the least likely one goes, apart from line breaks and the token of the end.
  const std::string text = run_strake(
                               "generate --prompt 'Emma was' --max-tokens 6 --json --temperature "
                               "0.05 --xtc-probability 1 --xtc-threshold 0")
                               .json()
                               .at("text");
  EXPECT_NE(text, "");
  EXPECT_EQ(text.find_first_not_of('\n'), std::string::npos) << text;
}

TEST_F(Cli, StopStringsEndTheText) {
  const std::string generate = "generate --ids 35 --max-tokens 9 --logit-bias 420=1e4";  // " do"
  const auto stopped = [&](const std::string& stop) {
    const RunResult result = run_strake(generate + " --json " + stop);
    EXPECT_EQ(result.code, 0) << result.err;
    EXPECT_EQ(result.json().at("finish_reason"), "stop");
    EXPECT_EQ(run_strake(generate + " " + stop).out,
              result.json().at("text").get<std::string>() + "\n");
    return std::pair(result.json().at("text").get<std::string>(),
                     result.json().at("tokens").size());
  };
  EXPECT_EQ(stopped("--stop 'o do d'"), (std::pair<std::string, size_t>(" d", 3)));
  EXPECT_EQ(stopped("--stop absent --stop 'do do do' --stop ' do do'"),
            (std::pair<std::string, size_t>("", 2)));
  // Taken as they stand, whatever they mean to the parser; held back until the end.
  const Json length =
      run_strake(generate + " --json --stop {} --stop '[ do]' --stop ' do!'").json();
  EXPECT_EQ(length.at("finish_reason"), "length");
  EXPECT_EQ(length.at("text"), " do do do do do do do do do");
}

TEST_F(Cli, ASpecialTokenEndsTheTextAsAStopString) {
  const Json json = run_strake(
                        "generate --ids 35 --max-tokens 4 --json --logit-bias 0=1e4 --stop "
                        "'<|begin|>'")
                        .json();
  EXPECT_EQ(json.at("finish_reason"), "stop");
  EXPECT_EQ(json.at("tokens"), Json::array());
}

TEST_F(Cli, GreedyTokensOfTheUnquantizedModelEqualTheReference) {
  const Json reference =
      parse_json(read_text_file(kDense + "/reference.json"), "reference.json").at("prompts");
  ASSERT_FALSE(reference.empty());
  for (const Json& prompt : reference) {
    // The reference's ids begin with <|begin|>, which this tokenizer does not add by itself.
    std::string ids;
    for (const Json& id : prompt.at("ids")) ids += (ids.empty() ? "" : ",") + dump_json(id);
    const RunResult result =
        run_strake("generate --json --max-tokens 48 --model " + kDense + " --ids " + ids);
    ASSERT_EQ(result.code, 0) << result.err;
    EXPECT_EQ(result.json().at("tokens"), prompt.at("greedy"));
    EXPECT_EQ(result.json().at("text"), prompt.at("text"));
  }
}

TEST_F(Cli, ScoreAgreesOverItsInputs) {
  std::ofstream(path("ids.json")) << "[35, 79, 368, 341, 1000]";
  const Json by_ids = run_strake("score --ids 35,79,368,341,1000 --json").json();
  const Json by_file = run_strake("score --ids-file " + path("ids.json") + " --json --logits " +
                                  path("logits.safetensors"))
                           .json();
  EXPECT_EQ(by_ids, by_file);
  EXPECT_EQ(by_ids.at("tokens"), 5);
  const auto logits = SafetensorsFile::open(path("logits.safetensors"));
  ASSERT_EQ(logits.tensors().size(), 1u);
  EXPECT_EQ(logits.tensors().at("logits").shape, (Shape{5, 2048}));
  EXPECT_EQ(logits.read("logits").dtype(), DType::kF32);
  std::ofstream(path("text")) << "Emma Woodhouse, handsome, clever, and rich";
  EXPECT_GT(run_strake("score --json --text " + path("text")).json().at("tokens"), 5);
  std::ofstream(path("bad.json")) << "{\"ids\": 1}";
  expect_error(run_strake("score --ids-file " + path("bad.json")), 2, "list of token ids");
}

TEST_F(Cli, QuantizeWritesACheckpointAndReportsItsError) {
  const std::string quantize = "quantize --model " + kDense + " --out " + path("out") + " --json ";
  const RunResult result = run_strake(
      quantize + "--mode affine --bits 3 --module '*.down_proj=mxfp8' --module '*.q_proj=none'");
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.json().at("modules_quantized"), 25);
  EXPECT_EQ(result.json().at("modules_dense"), 4);
  EXPECT_THAT(result.err, HasSubstr("100 %"));
  const Json config = parse_json(read_text_file(path("out/config.json")), "config.json");
  EXPECT_EQ(config.at("quantization").at("bits"), 3);
  EXPECT_EQ(config.at("quantization").at("model.layers.0.mlp.down_proj"),
            (Json{{"group_size", 32}, {"bits", 8}, {"mode", "mxfp8"}}));
  EXPECT_EQ(config.at("quantization").at("model.layers.0.self_attn.q_proj"), false);
  EXPECT_EQ(config.at("quantization"), config.at("quantization_config"));
  EXPECT_EQ(run_strake("score --ids 35,79,368 --model " + path("out")).code, 0);
  // Existing output is never touched.
  const std::string before = read_text_file(path("out/config.json"));
  expect_error(run_strake(quantize + "--mode mxfp8"), 2, "exists already");
  EXPECT_EQ(read_text_file(path("out/config.json")), before);
}

TEST_F(Cli, QuantizedCheckpointsRequantizeAndDequantize) {
  const std::string from = "quantize --model " + kShipped;
  ASSERT_EQ(run_strake(from + " --mode nvfp4 --out " + path("nvfp4")).code, 0);
  ASSERT_EQ(run_strake(from + " --dequantize --out " + path("dense")).code, 0);
  const Json dense = parse_json(read_text_file(path("dense/config.json")), "config.json");
  EXPECT_FALSE(dense.contains("quantization"));
  EXPECT_FALSE(dense.contains("quantization_config"));
  // mxfp8's values are exact in bfloat16, so quantizing them again changes nothing.
  ASSERT_EQ(
      run_strake("quantize --mode mxfp8 --model " + path("dense") + " --out " + path("again")).code,
      0);
  // The portable path multiplies decoded values; others scale sums of codes.
  const auto score = [&](const std::string& model) {
    return run_strake(
               "score --ids 35,79,368,341 --json --activations float32 --path portable "
               "--model " +
               model)
        .json()
        .at("logits_hash");
  };
  EXPECT_EQ(score(path("again")), score(kShipped));
  EXPECT_EQ(score(path("dense")), score(kShipped));
  EXPECT_NE(score(path("nvfp4")), score(kShipped));
}

TEST_F(Cli, QuantizeRefusesWhatItCannotDo) {
  const std::string quantize = "quantize --model " + kDense + " --out " + path("out");
  expect_error(run_strake(quantize), 2, "one of --mode and --dequantize");
  expect_error(run_strake(quantize + " --mode int4"), 2, "affine, mxfp4, mxfp8, nvfp4");
  expect_error(run_strake(quantize + " --mode mxfp4 --group-size 64"), 2, "4/32");
  expect_error(run_strake(quantize + " --mode mxfp8 --module 'nothing=none'"), 2, "nothing");
  expect_error(run_strake(quantize + " --mode mxfp8 --module 'x=affine:4:64:1'"), 2,
               "affine:4:64:1");
  EXPECT_FALSE(fs::exists(path("out")));
}

TEST_F(Cli, AFullDiskLeavesNothingThatLooksWhole) {
  // The signal that a file too large raises is ignored, so that the write itself fails.
  const RunResult result =
      run_strake("quantize --model " + kDense + " --mode mxfp8 --out " + path("out/model"),
                 "trap '' XFSZ; ulimit -f 1000; ");
  EXPECT_EQ(result.code, 6) << result.err;
  EXPECT_THAT(result.err, HasSubstr("model.safetensors"));
  EXPECT_FALSE(fs::exists(path("out/model")));
  EXPECT_TRUE(!fs::exists(path("out")) || fs::is_empty(path("out")));
}

TEST_F(Cli, ImportGivesAModelThatRuns) {
  const RunResult result = run_strake(
      "import --json --gguf " STRAKE_TEST_DATA "/io/tiny_llama.gguf --out " + path("out"));
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(run_strake("inspect --json " + path("out")).code, 0);
  expect_error(
      run_strake("import --gguf " STRAKE_TEST_DATA "/io/tiny_llama.gguf --out " + path("out")), 2,
      "exists already");
}

TEST_F(Cli, InspectShowsThePlan) {
  const Json one = run_strake("inspect --json " + kShipped).json();
  const Json three = run_strake("inspect --json --ranks 3 " + kShipped).json();
  EXPECT_EQ(one.at("modules").size(), three.at("modules").size());
  EXPECT_EQ(three.at("bytes_per_rank").size(), 3u);
  EXPECT_EQ(one.at("bytes_per_rank")[0],
            run_strake("score --ids 1,2 --json").json().at("bytes_per_rank")[0]);
  for (const Json& module : three.at("modules"))
    if (module.at("module") == "model.layers.0.mlp.down_proj") {
      EXPECT_EQ(module.at("ranks")[0].at("ranges"), Json::parse("[[0, 256]]"));
      EXPECT_EQ(module.at("ranks")[2].at("ranges"), Json::parse("[[480, 704]]"));
      EXPECT_EQ(module.at("uneven"), "22 units of 32 do not divide evenly");
    }
  const Json weighted = run_strake("inspect --json --share 2,1 " + kShipped).json();
  EXPECT_GT(weighted.at("bytes_per_rank")[0].get<double>(),
            1.5 * weighted.at("bytes_per_rank")[1].get<double>());
  EXPECT_THAT(run_strake("inspect --ranks 2 " + kShipped).out, HasSubstr("rank 1"));
}

TEST_F(Cli, VerifyComparesRankCounts) {
  const RunResult result = run_strake("verify --json --ranks 1,2,5 --max-tokens 2");
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.json().at("equal"), true);
  EXPECT_EQ(result.json().at("runs").size(), 3u);
}

TEST_F(Cli, DamagedModelsAreNamed) {
  expect_error(run_strake("score --ids 1,2 --model " + path("absent")), 6, "absent");
  const std::string model = damaged_model();
  const std::string score = "score --ids 1,2 --model " + model;
  const std::string config = model + "/config.json";
  replace(config, "\"llama\"", "\"mamba\"");
  expect_error(run_strake(score), 4, "known: llama");
  replace(config, "\"mamba\"", "\"llama\"");
  replace(config, "\"mode\": \"mxfp8\"", "\"mode\": \"affine\"");
  replace(config, "\"mode\": \"mxfp8\"", "\"mode\": \"affine\"");
  expect_error(run_strake(score), 3, "model.embed_tokens.scales");
  replace(config, "\"mode\": \"affine\"", "\"mode\": \"mxfp9\"");
  expect_error(run_strake(score), 3, "quantization");
  fs::resize_file(model + "/model.safetensors", 100'000);
  expect_error(run_strake(score), 3, "model.safetensors");
}

}  // namespace
}  // namespace strake
