// Every model against the logits, tokens and likelihoods of another implementation.
#include "reference.h"

#include <cmath>
#include <set>

#include "engine/convert.h"
#include "engine/generation.h"
#include "io/safetensors.h"
#include "support/temporary_directory.h"

namespace strake {
namespace {

class Reference : public testing::TestWithParam<std::string> {};

INSTANTIATE_TEST_SUITE_P(Models, Reference, testing::ValuesIn(reference_models()), reference_name);

TEST(References, AreThereForEveryModel) {
  const auto names = reference_models();
  for (const ModelEntry& known : known_models())
    EXPECT_NE(std::ranges::find(names, known.model_type), names.end()) << known.model_type;
}

// Of the difference, to that of what was expected.
double relative_norm(const Tensor& found, const Tensor& expected) {
  const auto a = found.data<float>(), b = expected.data<float>();
  double error = 0, norm = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    error += std::pow(double{a[i]} - double{b[i]}, 2);
    norm += std::pow(double{b[i]}, 2);
  }
  return std::sqrt(error / norm);
}

TEST_P(Reference, HasItsLogitsInFloat32) {
  ReferenceRun run(GetParam());
  const auto file = SafetensorsFile::open(run.path / "reference.safetensors");
  const auto prompts = run.prompts();
  ASSERT_FALSE(prompts.empty());
  for (size_t i = 0; i < prompts.size(); ++i) {
    const auto& ids = prompts[i].ids;
    const Tensor expected = file.read("logits." + std::to_string(i));
    SequenceCache cache = run.session.make_cache(std::ssize(ids));
    const Tensor all = run.model().forward(run.session.context(), ids, cache, LogitRows::kAll);
    const Tensor found = all.slice(0, all.shape()[0] - expected.shape()[0], all.shape()[0]);
    EXPECT_LT(relative_norm(found, expected), 1e-4) << "prompt " << i;
  }
}

TEST_P(Reference, HasItsGreedyTokens) {
  ReferenceRun run(GetParam());
  for (const ReferencePrompt& prompt : run.prompts()) {
    GenerationOptions options;
    options.max_tokens = std::ssize(prompt.greedy);
    SequenceCache cache = run.session.make_cache(std::ssize(prompt.ids) + options.max_tokens);
    std::vector<int32_t> history;
    const auto result = generate(run.session.context(), run.model(), cache, history, prompt.ids,
                                 options, [](int32_t) { return true; });
    EXPECT_EQ(result.tokens, prompt.greedy) << prompt.ids.size() << " tokens";
  }
}

void expect_likelihoods(ReferenceRun& run, const std::vector<double>& expected) {
  const Json& windows = run.reference.at("validation");
  ASSERT_EQ(windows.size(), expected.size());
  ASSERT_FALSE(windows.empty());
  for (size_t i = 0; i < windows.size(); ++i) {
    const auto ids = windows[i].at("ids").get<std::vector<int32_t>>();
    const double found = score(run.session.context(), run.model(), ids).mean();
    EXPECT_NEAR(found, expected[i], 0.01) << "window " << i;
  }
}

TEST_P(Reference, HasItsLikelihoods) {
  ReferenceRun run(GetParam());
  std::vector<double> expected;
  for (const Json& window : run.reference.at("validation"))
    expected.push_back(window.at("nll").get<double>());
  expect_likelihoods(run, expected);
}

// A trained model's, whose likelihoods are not a matter of chance.
TEST(References, HoldWithBfloat16Activations) {
  ReferenceRun run("llama");
  Context context = run.session.context();
  context.activations = DType::kBF16;
  const Json& window = run.reference.at("validation").at(0);
  const auto ids = window.at("ids").get<std::vector<int32_t>>();
  EXPECT_NEAR(score(context, run.model(), ids).mean(), window.at("nll").get<double>(), 0.01);
}

std::optional<Format> format_of(const Json& json) {
  return Format::parse(json.value("mode", "affine"), json.at("bits").get<int>(),
                       json.at("group_size").get<int>());
}

// The weights that another implementation quantized and decoded, in each of its formats.
TEST_P(Reference, HasItsLikelihoodsInEachMode) {
  const Json reference = ReferenceRun(GetParam()).reference;
  if (!reference.contains("quantized")) GTEST_SKIP() << "no quantized likelihoods";
  for (const auto& [name, entry] : reference.at("quantized").at("formats").items()) {
    SCOPED_TRACE(name);
    ConvertOptions options{.format = format_of(entry), .encoder = Encoder::kMlx};
    for (const auto& [path, format] : entry.at("overrides").items())
      options.rules.push_back({path, format_of(format)});
    for (const Json& path : entry.at("float"))
      options.rules.push_back({path.get<std::string>(), std::nullopt});
    const TemporaryDirectory directory;
    convert_checkpoint(kReferences / GetParam(), directory.path() / "model", options);
    ReferenceRun run(GetParam(), directory.path() / "model");
    expect_likelihoods(run, entry.at("nll").get<std::vector<double>>());
  }
}

}  // namespace
}  // namespace strake
