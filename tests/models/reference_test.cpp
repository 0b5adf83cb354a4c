// Every model against the logits, tokens and likelihoods of another implementation.
#include "reference.h"

#include <map>
#include <set>

#include "engine/convert.h"
#include "engine/generation.h"
#include "io/safetensors.h"
#include "io/safetensors_writer.h"
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
                                 options, [](int32_t) { return std::nullopt; });
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

// Latent attention's projections as the hub has them, one matrix of all heads, in place of MLX's
// two, whose keys are quantized along the other axis.
void keep_whole_projections(const std::filesystem::path& from, const std::filesystem::path& model,
                            Format format) {
  const auto is_by_head = [](const std::string& name) {
    return name.find(".embed_q") != name.npos || name.find(".unembed_out") != name.npos;
  };
  std::map<std::string, Tensor> tensors;
  const auto converted = SafetensorsDirectory::open(model);
  for (const auto& [name, entry] : converted.tensors())
    if (!is_by_head(name)) tensors.emplace(name, converted.read(name));
  if (tensors.size() == converted.tensors().size()) return;
  const auto source = SafetensorsDirectory::open(from);
  for (const auto& [name, entry] : source.tensors()) {
    if (!name.ends_with(".kv_b_proj.weight")) continue;
    const QuantizedMatrix matrix = quantize(source.read(name), format, Encoder::kMlx);
    const std::string module = name.substr(0, name.rfind('.'));
    tensors.insert_or_assign(module + ".weight", matrix.codes());
    tensors.insert_or_assign(module + ".scales", matrix.scales());
    if (matrix.biases()) tensors.insert_or_assign(module + ".biases", *matrix.biases());
  }
  for (const char* file : {"model.safetensors", "model.safetensors.index.json"})
    std::filesystem::remove(model / file);
  std::vector<TensorSpec> specs;
  for (const auto& [name, tensor] : tensors)
    specs.push_back({name, tensor.dtype(), tensor.shape()});
  SafetensorsWriter writer(model / "model.safetensors", specs, {});
  for (const auto& [name, tensor] : tensors) writer.write(name, tensor);
  writer.finish();
  Json config = parse_json(read_text_file(model / "config.json"), "config");
  for (const char* field : {"quantization", "quantization_config"}) {
    Json kept = Json::object();
    for (const auto& [key, value] : config.at(field).items())
      if (!is_by_head(key)) kept[key] = value;
    config[field] = kept;
  }
  std::filesystem::remove(model / "config.json");
  write_text_file(model / "config.json", dump_json(config));
}

Json read_json(const std::filesystem::path& file) {
  return parse_json(read_text_file(file), file.string());
}

std::vector<std::string> quantized_references() {
  auto names = reference_models();
  std::erase_if(names, [](const std::string& name) {
    return !read_json(kReferences / name / "reference.json").contains("quantized");
  });
  return names;
}

// All others' are in a file that quantized_quality_test.cpp reads, or are those of the checkpoint
// itself, which is quantized.
TEST(References, HaveLikelihoodsOfQuantizedWeights) {
  const auto names = quantized_references();
  for (const std::string& name : reference_models()) {
    const Json config = read_json(kReferences / name / "config.json");
    EXPECT_TRUE(std::ranges::binary_search(names, name) || config.contains("quantization_config") ||
                std::filesystem::exists(kReferences / name / "quantized.json"))
        << name;
  }
}

// The weights that another implementation quantized and decoded, in each of its formats.
class QuantizedReference : public testing::TestWithParam<std::string> {};

INSTANTIATE_TEST_SUITE_P(Models, QuantizedReference, testing::ValuesIn(quantized_references()),
                         reference_name);

TEST_P(QuantizedReference, HasItsLikelihoodsInEachMode) {
  const Json reference = read_json(kReferences / GetParam() / "reference.json");
  for (const auto& [name, entry] : reference.at("quantized").at("formats").items()) {
    SCOPED_TRACE(name);
    ConvertOptions options{.format = format_of(entry), .encoder = Encoder::kMlx};
    for (const auto& [path, format] : entry.at("overrides").items())
      options.rules.push_back({path, format_of(format)});
    for (const Json& path : entry.at("float"))
      options.rules.push_back({path.get<std::string>(), std::nullopt});
    const TemporaryDirectory directory;
    convert_checkpoint(kReferences / GetParam(), directory.path() / "model", options);
    keep_whole_projections(kReferences / GetParam(), directory.path() / "model", *options.format);
    ReferenceRun run(GetParam(), directory.path() / "model");
    expect_likelihoods(run, entry.at("nll").get<std::vector<double>>());
  }
}

}  // namespace
}  // namespace strake
