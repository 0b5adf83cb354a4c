#include "io/gguf_import.h"

#include <algorithm>
#include <map>

#include "base/fail.h"
#include "base/json.h"
#include "io/gguf_architecture.h"
#include "io/gguf_config.h"
#include "io/gguf_decode.h"
#include "io/gguf_quantized.h"
#include "io/gguf_tokenizer.h"
#include "io/model_config.h"
#include "io/safetensors_writer.h"

namespace strake {
namespace fs = std::filesystem;
namespace {

// One tensor of the file and what becomes of it.
struct Item {
  std::string name;  // in the file
  const GgufTensor* tensor;
  std::string module;
  std::string part;                   // "weight" or "bias"
  int64_t heads = 0;                  // whose rows are interleaved; 0: none
  std::optional<Format> format = {};  // quantized, or
  DType dtype = DType::kF32;          // dense with this dtype
  DType scale_dtype = DType::kU8;     // of a quantized one
};

// Row r of a checkpoint's head is row source_row(r) of GGUF's: halves side by side there, pairwise
// interleaved here.
int64_t source_row(int64_t row, int64_t head_dim) {
  const int64_t half = head_dim / 2;
  const int64_t in_head = row % head_dim;
  return row - in_head + in_head % half * 2 + in_head / half;
}

Tensor restore_rows(const Item& item, const Tensor& blocks) {
  if (item.heads == 0) return blocks;
  const int64_t rows = item.tensor->shape[0];
  const int64_t bytes = blocks.nbytes() / rows;
  Tensor result = Tensor::empty(DType::kU8, blocks.shape());
  const auto in = blocks.bytes();
  const auto out = result.mutable_bytes();
  for (int64_t row = 0; row < rows; ++row)
    std::copy_n(in.begin() + source_row(row, rows / item.heads) * bytes, bytes,
                out.begin() + row * bytes);
  return result;
}

DType dense_dtype(GgufType type) {
  if (type == GgufType::kF32 || type == GgufType::kF64) return DType::kF32;
  return type == GgufType::kF16 ? DType::kF16 : DType::kBF16;
}

template <class T>
void decode_into(const Item& item, const Tensor& blocks, Tensor& out) {
  const GgufTypeTraits& type = traits(item.tensor->type);
  constexpr int64_t kChunk = 1 << 16;  // elements, whole blocks of every type
  std::vector<float> values(static_cast<size_t>(std::min(kChunk, out.elements())));
  const auto bytes = blocks.bytes();
  const auto elements = out.mutable_data<T>();
  for (size_t at = 0; at < elements.size(); at += values.size()) {
    const size_t count = std::min(values.size(), elements.size() - at);
    const auto block = static_cast<size_t>(type.block);
    const auto size = static_cast<size_t>(type.bytes);
    decode_gguf(item.name, type.type, bytes.subspan(at / block * size, count / block * size),
                std::span(values).first(count));
    for (size_t i = 0; i < count; ++i) elements[at + i] = from_float<T>(values[i]);
  }
}

Tensor dense(const Item& item, const Tensor& blocks) {
  Tensor result = Tensor::empty(item.dtype, item.tensor->shape);
  if (item.dtype == DType::kF32) decode_into<float>(item, blocks, result);
  if (item.dtype == DType::kF16) decode_into<F16>(item, blocks, result);
  if (item.dtype == DType::kBF16) decode_into<Bf16>(item, blocks, result);
  return result;
}

bool is_integer(GgufType type) {
  return type == GgufType::kI8 || type == GgufType::kI16 || type == GgufType::kI32 ||
         type == GgufType::kI64;
}

int64_t interleaved_heads(const GgufArchitecture& architecture, const ModuleTensor& name,
                          const std::map<std::string, Json>& config) {
  if (architecture.head_rows == HeadRows::kPlain) return 0;
  if (name.gguf_module == "attn_q") return config.at("num_attention_heads").get<int64_t>();
  if (name.gguf_module == "attn_k") return config.at("num_key_value_heads").get<int64_t>();
  return 0;
}

Item plan_tensor(const GgufFile& file, const std::string& name,
                 const GgufArchitecture& architecture, const std::map<std::string, Json>& config) {
  const GgufTensor& tensor = file.tensors().at(name);
  const auto translated = translate_gguf_name(architecture, name);
  const std::string what = file.path().string();
  if (!translated)
    fail(ErrorKind::kUnsupported, "{}: tensor '{}' has no counterpart in a {} model", what, name,
         architecture.model_type);
  const auto layers = config.at("num_hidden_layers").get<int64_t>();
  if (translated->layer && *translated->layer >= layers)
    fail(ErrorKind::kCheckpoint, "{}: tensor '{}': the model has {} layers", what, name, layers);
  if (is_integer(tensor.type))
    fail(ErrorKind::kUnsupported, "{}: tensor '{}': floating weights expected, found {}", what,
         name, to_string(tensor.type));
  Item item{name, &tensor, translated->module, translated->part};
  item.heads = interleaved_heads(architecture, *translated, config);
  if (item.heads > 0 && (tensor.shape.rank() == 0 || tensor.shape[0] % (2 * item.heads) != 0))
    fail(ErrorKind::kCheckpoint, "{}: tensor '{}': rows for {} heads expected, found shape {}",
         what, name, item.heads, tensor.shape.to_string());
  item.dtype = dense_dtype(tensor.type);
  if (item.part == "weight" && tensor.shape.rank() >= 2) item.format = exact_format(tensor.type);
  if (item.format) item.scale_dtype = exact_scale_dtype(tensor.type, file.read_blocks(name));
  return item;
}

// Every tensor, in the order of the file. Throws when some have no counterpart or are missing.
std::vector<Item> plan_tensors(const GgufFile& file, const GgufArchitecture& architecture,
                               const std::map<std::string, Json>& config) {
  std::vector<Item> items;
  for (const auto& [name, tensor] : file.tensors())
    if (name != "rope_freqs.weight")  // in config.json
      items.push_back(plan_tensor(file, name, architecture, config));
  const auto require = [&](const std::string& name) {
    if (!file.tensors().contains(name))
      fail(ErrorKind::kCheckpoint, "{}: tensor '{}' is missing", file.path().string(), name);
  };
  const auto layers = config.at("num_hidden_layers").get<int64_t>();
  for (const ModuleName& module : architecture.layer_modules)
    for (int64_t layer = 0; layer < layers; ++layer)
      require(fmt::format("blk.{}.{}.weight", layer, module.gguf));
  require("output_norm.weight");
  std::sort(items.begin(), items.end(),
            [](const Item& a, const Item& b) { return a.tensor->begin < b.tensor->begin; });
  return items;
}

std::vector<TensorSpec> specs_of(const std::vector<Item>& items) {
  std::vector<TensorSpec> specs;
  for (const Item& item : items) {
    const Shape& shape = item.tensor->shape;
    if (!item.format) {
      specs.push_back({item.module + "." + item.part, item.dtype, shape});
      continue;
    }
    const Shape groups = shape.with(-1, shape[-1] / item.format->group_size());
    specs.push_back(
        {item.module + ".weight", DType::kU32, shape.with(-1, item.format->words(shape[-1]))});
    specs.push_back({item.module + ".scales", item.scale_dtype, groups});
    if (item.format->has_biases())
      specs.push_back({item.module + ".biases", item.scale_dtype, groups});
  }
  return specs;
}

void write_weights(const GgufFile& file, const std::vector<Item>& items, const fs::path& out,
                   const ImportReport& report) {
  SafetensorsShardWriter writer(out, specs_of(items), {{"format", "mlx"}});
  int64_t total = 0, done = 0, parameters = 0;
  for (const Item& item : items) total += item.tensor->end - item.tensor->begin;
  for (const Item& item : items) {
    const Tensor blocks = restore_rows(item, file.read_blocks(item.name));
    if (item.format) {
      const QuantizedMatrix matrix =
          quantized_from_gguf(item.name, item.tensor->type, blocks, item.tensor->shape);
      writer.write(item.module + ".weight", matrix.codes());
      writer.write(item.module + ".scales", matrix.scales());
      if (matrix.biases()) writer.write(item.module + ".biases", *matrix.biases());
    } else {
      writer.write(item.module + "." + item.part, dense(item, blocks));
    }
    parameters += item.tensor->shape.elements();
    report.progress(done += item.tensor->end - item.tensor->begin, total);
  }
  writer.finish(parameters);
}

// The commonest format for all, the others by module.
std::optional<Json> quantization_of(const std::vector<Item>& items) {
  std::map<int, int> uses;
  for (const Item& item : items)
    if (item.format) ++uses[item.format->index()];
  if (uses.empty()) return std::nullopt;
  const int global = std::max_element(uses.begin(), uses.end(), [](const auto& a, const auto& b) {
                       return a.second < b.second;
                     })->first;
  Json quantization = format_json(Format::all()[static_cast<size_t>(global)]);
  std::map<std::string, Format> overrides;
  for (const Item& item : items)
    if (item.format && item.format->index() != global) overrides.emplace(item.module, *item.format);
  for (const auto& [module, format] : overrides) quantization[module] = format_json(format);
  return quantization;
}

// The dtype of most matrices: float16 for those whose scales are.
std::string torch_dtype(const std::vector<Item>& items) {
  std::map<std::string, int> uses;
  for (const Item& item : items) {
    if (item.tensor->shape.rank() < 2) continue;
    const DType dtype = item.format ? item.scale_dtype : item.dtype;
    ++uses[dtype == DType::kF32 ? "float32" : dtype == DType::kF16 ? "float16" : "bfloat16"];
  }
  return std::max_element(uses.begin(), uses.end(),
                          [](const auto& a, const auto& b) { return a.second < b.second; })
      ->first;
}

void report_conversions(const std::vector<Item>& items, const ImportReport& report) {
  std::map<std::string_view, int> converted;
  for (const Item& item : items)
    if (!item.format && to_string(item.tensor->type) != to_string(item.dtype))
      ++converted[to_string(item.tensor->type)];
  for (const auto& [type, count] : converted)
    report.line(fmt::format("{} {} {} decoded to floating point and rounded to {}", count, type,
                            count == 1 ? "tensor was" : "tensors were",
                            type == "F64" ? "float32" : "bfloat16"));
}

void write_json(const fs::path& path, const Json& json) {
  write_text_file(path, dump_json(json, 2) + "\n");
}

}  // namespace

void import_gguf(const fs::path& path, const fs::path& out, const ImportReport& report) {
  const GgufFile file = GgufFile::open(path);
  const GgufMetadata& metadata = file.metadata();
  const auto name = metadata.text("general.architecture");
  if (!name)
    fail(ErrorKind::kCheckpoint, "{}: metadata 'general.architecture' is missing", path.string());
  const GgufArchitecture& architecture = find_gguf_architecture(*name);
  std::map<std::string, Json> config = config_from_gguf(file, architecture);
  const auto tokenizer = tokenizer_from_gguf(metadata);
  PendingDirectory pending(out);
  const std::vector<Item> items = plan_tensors(file, architecture, config);
  report_conversions(items, report);
  config["torch_dtype"] = torch_dtype(items);
  if (const auto quantization = quantization_of(items))
    config["quantization"] = config["quantization_config"] = *quantization;
  write_weights(file, items, pending.path(), report);
  write_json(pending.path() / "config.json", config);
  write_json(pending.path() / "generation_config.json", generation_config_from_gguf(metadata));
  if (tokenizer) {
    write_json(pending.path() / "tokenizer.json", tokenizer->tokenizer);
    write_json(pending.path() / "tokenizer_config.json", tokenizer->config);
  } else {
    report.line("the file has no tokenizer");
  }
  pending.commit();
}

}  // namespace strake
