#include "engine/convert.h"

#include <fnmatch.h>

#include <algorithm>
#include <map>

#include "base/fail.h"
#include "io/checkpoint.h"
#include "io/safetensors_writer.h"
#include "models/model.h"
#include "quant/quantization_error.h"
#include "strake/base/thread_pool.h"

namespace strake {
namespace fs = std::filesystem;
namespace {

// One module with a quantized form: how it is stored and how it will be.
struct Module {
  Shape shape;
  std::optional<Format> from;
  std::optional<Format> to;
  DType dense;  // of its values where they are not quantized
};

// The modules that can be quantized, by path, as the model itself names them.
std::map<std::string, Module> find_modules(Checkpoint& checkpoint) {
  const LayerLoader loader(checkpoint, Shares::equal(1), 0);
  load_model(checkpoint, loader);
  std::map<std::string, Module> modules;
  for (const LoadedModule& module : loader.modules()) {
    if (module.kind == ModuleKind::kOther) continue;
    const auto& tensors = checkpoint.weights().tensors();
    // Affine scales have the dtype of the values that they were made of; MLX takes bfloat16 for
    // the other modes.
    DType dense = DType::kBF16;
    if (!module.format) dense = *tensors.at(module.path + ".weight").dtype;
    if (module.format && module.format->has_biases())
      dense = *tensors.at(module.path + ".scales").dtype;
    modules.emplace(module.path, Module{module.shape, module.format, std::nullopt, dense});
  }
  return modules;
}

void choose_formats(std::map<std::string, Module>& modules, const ConvertOptions& options) {
  std::vector<bool> matched(options.rules.size());
  for (auto& [path, module] : modules) {
    std::optional<Format> format = options.format;
    for (size_t i = 0; i < options.rules.size(); ++i) {
      if (::fnmatch(options.rules[i].pattern.c_str(), path.c_str(), 0) != 0) continue;
      matched[i] = true;
      format = options.rules[i].format;
      break;
    }
    if (format && module.shape[-1] % format->group_size() == 0) module.to = format;
  }
  for (size_t i = 0; i < matched.size(); ++i)
    if (!matched[i])
      fail(ErrorKind::kUsage, "module pattern '{}' matches no module that can be quantized",
           options.rules[i].pattern);
}

std::vector<TensorSpec> planned_tensors(const Checkpoint& checkpoint,
                                        const std::map<std::string, Module>& modules) {
  std::vector<TensorSpec> specs;
  const auto module_of = [&](const std::string& name) -> std::pair<std::string, std::string> {
    const size_t dot = name.rfind('.');
    return dot == std::string::npos ? std::pair{name, std::string()}
                                    : std::pair{name.substr(0, dot), name.substr(dot + 1)};
  };
  for (const auto& [name, entry] : checkpoint.weights().tensors()) {
    const auto [path, part] = module_of(name);
    const auto at = modules.find(path);
    if (at == modules.end() || part == "bias") {
      if (!entry.dtype)
        fail(ErrorKind::kUnsupported, "{}: element type {} is not supported", name,
             entry.stored_dtype);
      specs.push_back({name, *entry.dtype, entry.shape});
      continue;
    }
    if (part != "weight") continue;
    const Module& module = at->second;
    if (!module.to) {
      specs.push_back({name, module.dense, module.shape});
      continue;
    }
    const Shape groups = module.shape.with(-1, module.shape[-1] / module.to->group_size());
    const DType scales = module.to->has_biases() ? module.dense : DType::kU8;
    specs.push_back({name, DType::kU32, module.shape.with(-1, module.to->words(module.shape[-1]))});
    specs.push_back({path + ".scales", scales, groups});
    if (module.to->has_biases()) specs.push_back({path + ".biases", scales, groups});
  }
  return specs;
}

// Rows are independent: each thread quantizes its own.
QuantizedMatrix quantize_rows(const Tensor& values, Format format, Encoder encoder,
                              ThreadPool& pool) {
  constexpr int64_t kRows = 64;
  const int64_t blocks = (values.shape()[0] + kRows - 1) / kRows;
  std::vector<std::optional<QuantizedMatrix>> parts(static_cast<size_t>(blocks));
  pool.for_ranges(blocks, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      const int64_t last = std::min((block + 1) * kRows, values.shape()[0]);
      parts[static_cast<size_t>(block)] =
          quantize(values.slice(0, block * kRows, last), format, encoder);
    }
  });
  std::vector<QuantizedMatrix> joined;
  for (auto& part : parts) joined.push_back(std::move(*part));
  return concatenate(joined, 0);
}

Json converted_config(const Checkpoint& checkpoint, const std::map<std::string, Module>& modules,
                      const ConvertOptions& options) {
  Json config = checkpoint.config().json();
  config.erase("quantization");
  config.erase("quantization_config");
  std::optional<Format> global = options.format;
  for (const auto& [path, module] : modules)
    if (!global && module.to) global = module.to;
  if (!global) return config;
  Json quantization = format_json(*global);
  for (const auto& [path, module] : modules) {
    if (!module.to) quantization[path] = false;
    if (module.to && module.to != global) quantization[path] = format_json(*module.to);
  }
  config["quantization"] = quantization;
  config["quantization_config"] = quantization;
  return config;
}

// What belongs to a checkpoint beside its weights and config: the tokenizer, the chat template,
// generation settings, code and licence. Weights in other containers are left out.
void copy_other_files(const fs::path& from, const fs::path& to) {
  constexpr const char* kPatterns[] = {"*.json", "*.jsonl",    "*.jinja", "*.txt",
                                       "*.py",   "*.tiktoken", "*.model", "LICENSE*"};
  for (const auto& entry : fs::directory_iterator(from)) {
    const std::string name = entry.path().filename().string();
    if (name == "config.json" || name == "model.safetensors.index.json") continue;
    for (const char* pattern : kPatterns) {
      if (!entry.is_regular_file() || ::fnmatch(pattern, name.c_str(), 0) != 0) continue;
      write_text_file(to / name, read_text_file(entry.path()));
      break;
    }
  }
}

}  // namespace

ConvertReport convert_checkpoint(const fs::path& from, const fs::path& to,
                                 const ConvertOptions& options) {
  Checkpoint plan = Checkpoint::open(from, Device::meta());
  auto modules = find_modules(plan);
  choose_formats(modules, options);
  const std::vector<TensorSpec> specs = planned_tensors(plan, modules);

  PendingDirectory pending(to);
  Checkpoint source = Checkpoint::open(from);
  SafetensorsShardWriter writer(pending.path(), specs, {{"format", "mlx"}});
  ThreadPool pool(options.threads);
  ConvertReport report;
  int64_t total = 0;
  int64_t parameters = 0;
  for (const auto& [name, entry] : plan.weights().tensors()) total += entry.nbytes();
  for (const TensorSpec& spec : specs) {
    const std::string path = spec.name.substr(0, spec.name.rfind('.'));
    const auto at = modules.find(path);
    const bool is_weight = at != modules.end() && spec.name == path + ".weight";
    if (at != modules.end() && !is_weight && spec.name != path + ".bias") continue;  // with weight
    if (options.progress) options.progress(source.bytes_read(), total, spec.name);
    if (!is_weight) {
      writer.write(spec.name, source.weights().read(spec.name));
      parameters += spec.shape.elements();
      continue;
    }
    const Module& module = at->second;
    parameters += module.shape.elements();
    const Weight weight = source.weight(path, module.shape);
    const Tensor values =
        weight.dense() != nullptr ? *weight.dense() : dequantize(*weight.quantized(), module.dense);
    ConvertedModule& done =
        report.modules.emplace_back(ConvertedModule{path, module.to, values.elements(), 0, 0});
    if (!module.to) {
      writer.write(spec.name, values);
      continue;
    }
    std::optional<QuantizedMatrix> matrix;
    try {
      // Codes that already are in the format asked for stay as they are.
      matrix = module.from == module.to ? *weight.quantized()
                                        : quantize_rows(values, *module.to, options.encoder, pool);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::kUsage) throw;
      fail(ErrorKind::kCheckpoint, "{}.weight: {}", path, error.what());
    }
    const QuantizationError error = quantization_error(values, *matrix);
    done.squared_error = error.mean_squared * static_cast<double>(values.elements());
    done.squared = error.relative > 0 ? done.squared_error / error.relative : 0;
    writer.write(spec.name, matrix->codes());
    writer.write(path + ".scales", matrix->scales());
    if (matrix->biases()) writer.write(path + ".biases", *matrix->biases());
  }
  writer.finish(parameters);
  write_text_file(pending.path() / "config.json",
                  dump_json(converted_config(plan, modules, options), 4) + "\n");
  copy_other_files(from, pending.path());
  report.bytes_read = source.bytes_read();
  for (const TensorSpec& spec : specs) report.bytes_written += spec.nbytes();
  if (options.progress) options.progress(total, total, "");
  pending.commit();
  return report;
}

}  // namespace strake
