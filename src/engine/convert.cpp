#include "engine/convert.h"

#include <fnmatch.h>

#include <algorithm>
#include <map>

#include "base/fail.h"
#include "io/checkpoint.h"
#include "io/safetensors_writer.h"
#include "models/model.h"
#include "quant/quantization_error.h"
#include "quant/stack_builder.h"
#include "strake/base/thread_pool.h"

namespace strake {
namespace fs = std::filesystem;
namespace {

// One module with a quantized form: how it is stored and how it will be.
struct Module {
  ModuleKind kind;
  Shape shape;
  std::optional<Format> from;
  std::optional<Format> to;
  DType dense;  // of its values where they are not quantized
};

// What the model reads, under MLX's names.
struct Contents {
  std::map<std::string, Module> modules;     // that can be quantized, by path
  std::map<std::string, TensorSpec> others;  // tensors that stay as they are, by name
};

Contents find_contents(Checkpoint& checkpoint) {
  const LayerLoader loader(checkpoint, Shares::equal(1), 0);
  load_model(checkpoint, loader);
  Contents contents;
  const auto add_other = [&](const std::string& name, const Shape& shape, DType dtype) {
    contents.others.emplace(name, TensorSpec{name, dtype, shape});
  };
  for (const LoadedModule& module : loader.modules()) {
    if (module.kind == ModuleKind::kOther) {
      add_other(module.path, module.shape, module.dtype);
      continue;
    }
    contents.modules.emplace(
        module.path, Module{module.kind, module.shape, module.format, std::nullopt, module.dtype});
    if (module.bias == Bias::kNone) continue;
    const auto extents = module.shape.extents();
    const Shape shape(std::vector<int64_t>(extents.begin(), extents.end() - 1));
    const std::string name = module.path + ".bias";
    add_other(name, shape, checkpoint.tensor(name, shape).dtype());
  }
  return contents;
}

// Few weights that decide much keep eight bits whatever the format, as in MLX's checkpoints.
Format router_format() { return Format::parse("affine", 8, 64); }

void choose_formats(std::map<std::string, Module>& modules, const ConvertOptions& options) {
  std::vector<bool> matched(options.rules.size());
  for (auto& [path, module] : modules) {
    std::optional<Format> format = options.format;
    if (format && module.kind == ModuleKind::kRouter) format = router_format();
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

// In the order of their names, a module's parts one after the other.
std::vector<TensorSpec> planned_tensors(const Contents& contents) {
  std::map<std::string, std::vector<TensorSpec>> by_name;
  for (const auto& [name, spec] : contents.others) by_name[name] = {spec};
  for (const auto& [path, module] : contents.modules) {
    const std::string name = path + ".weight";
    auto& specs = by_name[name];
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
  std::vector<TensorSpec> all;
  for (const auto& [name, specs] : by_name) all.insert(all.end(), specs.begin(), specs.end());
  return all;
}

// The only matrix of a stack.
Weight matrix_of(const Weight& stack) {
  const auto flat = [&](const Tensor& part) {
    return part.reshape({part.shape()[1], part.shape()[2]});
  };
  if (stack.dense() != nullptr) return flat(*stack.dense());
  const QuantizedMatrix& matrix = *stack.quantized();
  QuantizedParts parts{flat(matrix.codes()), flat(matrix.scales())};
  if (matrix.biases()) parts.biases = flat(*matrix.biases());
  return QuantizedMatrix::make("matrix", matrix.format(), std::move(parts));
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

// What newer configs say elsewhere than MLX looks for it.
void add_mlx_names(Json& config) {
  const auto add = [&](const char* name, const Json& value) {
    if (config.value(name, Json()).is_null() && !value.is_null()) config[name] = value;
  };
  add("num_experts", config.value("num_local_experts", Json()));
  const Json rope = config.value("rope_parameters", Json());
  if (!rope.is_object()) return;
  for (const char* name : {"rope_theta", "partial_rotary_factor"})
    add(name, rope.value(name, Json()));
  if (rope.value("rope_type", Json("default")) != "default") add("rope_scaling", rope);
}

Json converted_config(const Checkpoint& checkpoint, const std::map<std::string, Module>& modules,
                      const ConvertOptions& options) {
  Json config = checkpoint.config().json();
  config.erase("quantization");
  config.erase("quantization_config");
  add_mlx_names(config);
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

// Converts one module after the other, a stack's matrices one by one.
class Converter {
 public:
  Converter(Checkpoint& source, SafetensorsShardWriter& writer, const ConvertOptions& options)
      : source_(source), writer_(writer), encoder_(options.encoder), pool_(options.threads) {}

  ConvertedModule convert(const std::string& path, const Module& module) {
    ConvertedModule done{path, module.to, module.shape.elements(), 0, 0};
    const Weight weight = module.shape.rank() == 2
                              ? converted(path, module, source_.weight(path, module.shape), done)
                              : converted_stack(path, module, done);
    if (weight.dense() != nullptr) {
      writer_.write(path + ".weight", *weight.dense());
      return done;
    }
    const QuantizedMatrix& matrix = *weight.quantized();
    writer_.write(path + ".weight", matrix.codes());
    writer_.write(path + ".scales", matrix.scales());
    if (matrix.biases()) writer_.write(path + ".biases", *matrix.biases());
    return done;
  }

 private:
  Weight converted_stack(const std::string& path, const Module& module, ConvertedModule& done) {
    StackBuilder stack(path, module.shape[0], module.shape[1]);
    for (int64_t i = 0; i < module.shape[0]; ++i)
      stack.add(converted(
          path, module, matrix_of(source_.weight(path, module.shape, Cut{0, {{i, i + 1}}})), done));
    return std::move(stack).finish();
  }

  Weight converted(const std::string& path, const Module& module, const Weight& weight,
                   ConvertedModule& done) {
    const Tensor values =
        weight.dense() != nullptr ? *weight.dense() : dequantize(*weight.quantized(), module.dense);
    if (!module.to) return values;
    // Codes that already are in the format asked for stay as they are.
    if (module.from == module.to) {
      add_error(values, *weight.quantized(), done);
      return weight;
    }
    try {
      const QuantizedMatrix matrix = quantize_rows(values, *module.to, encoder_, pool_);
      add_error(values, matrix, done);
      return matrix;
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::kUsage) throw;
      fail(ErrorKind::kCheckpoint, "{}.weight: {}", path, error.what());
    }
  }

  static void add_error(const Tensor& values, const QuantizedMatrix& matrix,
                        ConvertedModule& done) {
    const QuantizationError error = quantization_error(values, matrix);
    const double squared_error = error.mean_squared * static_cast<double>(values.elements());
    done.squared_error += squared_error;
    if (error.relative > 0) done.squared += squared_error / error.relative;
  }

  Checkpoint& source_;
  SafetensorsShardWriter& writer_;
  Encoder encoder_;
  ThreadPool pool_;
};

}  // namespace

ConvertReport convert_checkpoint(const fs::path& from, const fs::path& to,
                                 const ConvertOptions& options) {
  Checkpoint plan = Checkpoint::open(from, Device::meta());
  Contents contents = find_contents(plan);
  choose_formats(contents.modules, options);
  const std::vector<TensorSpec> specs = planned_tensors(contents);

  PendingDirectory pending(to);
  Checkpoint source = Checkpoint::open(from);
  SafetensorsShardWriter writer(pending.path(), specs, {{"format", "mlx"}});
  Converter converter(source, writer, options);
  ConvertReport report;
  int64_t total = 0;
  int64_t parameters = 0;
  for (const auto& [name, entry] : plan.weights().tensors()) total += entry.nbytes();
  for (const TensorSpec& spec : specs) {
    const std::string path = spec.name.substr(0, spec.name.rfind('.'));
    const auto at = contents.modules.find(path);
    const auto other = contents.others.find(spec.name);
    const bool is_weight = at != contents.modules.end() && spec.name == path + ".weight";
    if (!is_weight && other == contents.others.end()) continue;  // written with its weight
    if (options.progress) options.progress(std::min(source.bytes_read(), total), total, spec.name);
    if (is_weight) {
      report.modules.push_back(converter.convert(path, at->second));
      parameters += at->second.shape.elements();
    } else {
      writer.write(spec.name, source.tensor(spec.name, spec.shape));
      parameters += spec.shape.elements();
    }
  }
  writer.finish(parameters);
  write_text_file(pending.path() / "config.json",
                  dump_json(converted_config(plan, contents.modules, options), 4) + "\n");
  copy_other_files(from, pending.path());
  report.bytes_read = source.bytes_read();
  for (const TensorSpec& spec : specs) report.bytes_written += spec.nbytes();
  if (options.progress) options.progress(total, total, "");
  pending.commit();
  return report;
}

}  // namespace strake
