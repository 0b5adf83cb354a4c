// The tiny Llama against the logits, tokens and likelihoods of another implementation.
#include "models/model.h"

#include <gtest/gtest.h>

#include "engine/generation.h"
#include "io/checkpoint.h"
#include "strake/comm/thread_group.h"

namespace strake {
namespace {

const std::filesystem::path kModel = STRAKE_TEST_DATA "/models/llama";

Json reference() { return parse_json(read_text_file(kModel / "reference.json"), "reference.json"); }

// One rank's run of the tiny model.
struct SoloRun {
  Checkpoint checkpoint = Checkpoint::open(kModel);
  std::unique_ptr<Model> model =
      load_model(checkpoint, LayerLoader(checkpoint, Shares::equal(1), 0));
  std::unique_ptr<Backend> backend = make_backend("cpu", {.threads = 2});
  std::unique_ptr<Group> group = make_solo_group();
  Context context{*backend, *group, DType::kF32};
};

TEST(Llama, LogitsEqualReferenceInFloat32) {
  SoloRun run;
  const auto file = SafetensorsFile::open(kModel / "reference.safetensors");
  const Json prompts = reference().at("prompts");
  for (size_t i = 0; i < prompts.size(); ++i) {
    const auto ids = prompts[i].at("ids").get<std::vector<int32_t>>();
    const Tensor expected = file.read("logits." + std::to_string(i));
    SequenceCache cache = run.model->make_cache(static_cast<int64_t>(ids.size()), DType::kF32);
    Tensor logits = run.model->forward(run.context, ids, cache, LogitRows::kAll);
    logits = logits.slice(0, logits.shape()[0] - expected.shape()[0], logits.shape()[0]);
    const auto found = logits.data<float>();
    const auto wanted = expected.data<float>();
    double error = 0, norm = 0;
    for (size_t j = 0; j < found.size(); ++j) {
      error += std::pow(found[j] - wanted[j], 2);
      norm += std::pow(wanted[j], 2);
    }
    EXPECT_LT(std::sqrt(error / norm), 1e-4) << "prompt " << i;
  }
}

TEST(Llama, Bfloat16ActivationsStayWithinBf16Error) {
  SoloRun run;
  run.context.activations = DType::kBF16;
  const Json windows = reference().at("validation");
  const auto ids = windows.at(0).at("ids").get<std::vector<int32_t>>();
  EXPECT_NEAR(score(run.context, *run.model, ids).mean(), windows[0].at("nll").get<double>(), 0.01);
}

TEST(Llama, GreedyTokensEqualReference) {
  SoloRun run;
  const Json prompts = reference().at("prompts");
  ASSERT_FALSE(prompts.empty());
  for (const Json& prompt : prompts) {
    const auto ids = prompt.at("ids").get<std::vector<int32_t>>();
    const auto expected = prompt.at("greedy").get<std::vector<int32_t>>();
    GenerationOptions options;
    options.max_tokens = static_cast<int64_t>(expected.size());
    SequenceCache cache =
        run.model->make_cache(static_cast<int64_t>(ids.size()) + options.max_tokens, DType::kF32);
    std::vector<int32_t> history;
    const auto result = generate(run.context, *run.model, cache, history, ids, options,
                                 [](int32_t) { return std::nullopt; });
    EXPECT_EQ(result.tokens, expected);
  }
}

TEST(Llama, NegativeLogLikelihoodWithinAHundredthOfReference) {
  SoloRun run;
  const Json windows = reference().at("validation");
  ASSERT_FALSE(windows.empty());
  for (const Json& window : windows) {
    const auto ids = window.at("ids").get<std::vector<int32_t>>();
    EXPECT_NEAR(score(run.context, *run.model, ids).mean(), window.at("nll").get<double>(), 0.01);
  }
}

}  // namespace
}  // namespace strake
