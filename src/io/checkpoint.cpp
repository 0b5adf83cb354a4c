#include "io/checkpoint.h"

#include <fmt/ranges.h>

#include <charconv>
#include <utility>

#include "base/fail.h"

namespace strake {
namespace {

constexpr size_t kNamesShown = 5;

std::string shown(const std::vector<std::string>& names) {
  const size_t count = std::min(names.size(), kNamesShown);
  return fmt::format("{}{}",
                     fmt::join(names.begin(), names.begin() + static_cast<long>(count), ", "),
                     names.size() > count ? fmt::format(" and {} more", names.size() - count) : "");
}

}  // namespace

Checkpoint Checkpoint::open(const std::filesystem::path& directory, Device device) {
  const auto file = directory / "config.json";
  return {ModelConfig::parse(read_text_file(file), file.string()),
          SafetensorsDirectory::open(directory), device};
}

Checkpoint::Checkpoint(ModelConfig config, SafetensorsDirectory weights, Device device)
    : ModelSource(std::move(config), device), weights_(std::move(weights)) {}

std::optional<Format> Checkpoint::format(const std::string& module, int64_t inputs) {
  if (const auto latent = latent_module(module))
    return head_projection_format(module, *latent, inputs);
  modules_.insert(module);
  const auto form = expert_form(module);
  const auto format = quantization().format_of(
      module, form ? has_scales(*form) : has(module + ".scales") || has(module + ".weight_packed"));
  if (format && inputs % format->group_size() != 0)
    fail(ErrorKind::kCheckpoint, "{}: config.json says {}, but {} inputs are not whole groups",
         module, format->to_string(), inputs);
  return format;
}

const TensorEntry& Checkpoint::use(const std::string& name) {
  const auto at = weights_.tensors().find(name);
  if (at == weights_.tensors().end())
    fail(ErrorKind::kCheckpoint, "{}: missing from the weights in {}", name, path().string());
  used_.insert(name);
  return at->second;
}

void Checkpoint::expect_shape(const std::string& name, const Shape& expected) const {
  const Shape& found = weights_.tensors().at(name).shape;
  if (found != expected)
    fail(ErrorKind::kCheckpoint, "{}: shape {} expected, found {}", name, expected.to_string(),
         found.to_string());
}

void Checkpoint::expect_floating(const std::string& name, const Shape& expected) {
  const TensorEntry& entry = use(name);
  expect_shape(name, expected);
  if (!entry.dtype || !is_floating(*entry.dtype))
    fail(ErrorKind::kCheckpoint, "{}: F32, F16 or BF16 expected, found {}", name,
         entry.stored_dtype);
}

Tensor Checkpoint::read(const std::string& name, const std::optional<Cut>& cut) {
  const TensorEntry& entry = use(name);
  if (!entry.dtype)
    fail(ErrorKind::kUnsupported, "{}: element type {} is not supported", name, entry.stored_dtype);
  if (device().kind == DeviceKind::kMeta) {
    expect_read(name, cut);
    return Tensor::empty(*entry.dtype, shape_of_cut(entry.shape, cut), device());
  }
  if (!cut) return read_one(one_read(name, cut, {}));
  if (cut->ranges.empty()) return weights_.read(name, cut->axis, 0, 0);
  std::vector<Tensor> pieces;
  for (const Range range : cut->ranges) pieces.push_back(read_one(one_read(name, cut, range)));
  return pieces.size() == 1 ? pieces.front() : concatenate(pieces, cut->axis);
}

void Checkpoint::expect_read(const std::string& name, const std::optional<Cut>& cut) {
  if (!cut) return expected_.push_back(one_read(name, cut, {}));
  for (const Range range : cut->ranges) expected_.push_back(one_read(name, cut, range));
}

ExpectedRead Checkpoint::one_read(const std::string& name, const std::optional<Cut>& cut,
                                  Range range) const {
  const SafetensorsFile& file = weights_.file_of(name);
  const Shape& shape = weights_.tensors().at(name).shape;
  if (!cut) return {name, file.runs(name), shape};
  return {name, file.runs(name, cut->axis, range.begin, range.end),
          shape.with(cut->axis, range.size())};
}

Tensor Checkpoint::read_one(const ExpectedRead& read) const {
  if (const auto ahead = ahead_.lock())
    if (auto tensor = ahead->take(read)) return *std::move(tensor);
  return weights_.file_of(read.tensor).read(read.tensor, read.runs, read.shape);
}

std::unique_ptr<ModelSource> Checkpoint::without_bytes() const {
  return std::make_unique<Checkpoint>(open(path(), Device::meta()));
}

std::shared_ptr<ReadAhead> Checkpoint::read_ahead(ModelSource& twin) {
  auto ahead =
      std::make_shared<ReadAhead>(weights_, std::move(dynamic_cast<Checkpoint&>(twin).expected_));
  ahead_ = ahead;
  return ahead;
}

Tensor Checkpoint::tensor(const std::string& name, const Shape& shape,
                          const std::optional<Cut>& cut) {
  constexpr std::string_view kBias = ".bias";
  if (name.ends_with(kBias) && !has(name))
    if (const auto form = expert_form(name.substr(0, name.size() - kBias.size())))
      return expert_bias(*form, shape, cut);
  expect_floating(name, shape);
  return read(name, cut);
}

Weight Checkpoint::weight(const std::string& module, const Shape& shape,
                          const std::optional<Cut>& cut) {
  if (const auto form = expert_form(module)) return experts(module, *form, shape, cut);
  if (latent_module(module)) return head_projection(module, shape, cut);
  if (has(module + ".weight_scale_inv")) return block_fp8(module, shape, cut);
  if (has(module + ".weight_packed")) return packed(module, shape, cut);
  const std::string codes = module + ".weight";
  const std::string scales = module + ".scales";
  const std::string biases = module + ".biases";
  const auto format = this->format(module, shape[-1]);
  if (!format) {
    if (has(biases))
      fail(ErrorKind::kCheckpoint, "{}: there is a tensor {}, but no {}", module, biases, scales);
    return tensor(codes, shape, cut);
  }
  use(codes);
  use(scales);
  // Names first what the config claims: a wrong mode shows itself in the shapes of the packed
  // tensors, or in the scales' dtype and the biases' presence, which make() checks.
  const Shape stored = shape.with(-1, format->words(shape[-1]));
  if (weights_.tensors().at(codes).shape != stored)
    fail(ErrorKind::kCheckpoint, "{}: config.json says {}: shape {} expected, found {}", codes,
         format->to_string(), stored.to_string(), weights_.tensors().at(codes).shape.to_string());
  const int64_t group = format->group_size();
  expect_shape(scales, shape.with(-1, shape[-1] / group));
  const bool packed = cut && (cut->axis == -1 || cut->axis == shape.rank() - 1);
  const int64_t logical = packed ? group : 1;
  QuantizedParts parts{read(codes, rescale(codes, cut, logical, packed ? format->words(group) : 1)),
                       read(scales, rescale(scales, cut, logical, 1))};
  if (has(biases)) {
    use(biases);
    expect_shape(biases, shape.with(-1, shape[-1] / group));
    parts.biases = read(biases, rescale(biases, cut, logical, 1));
  }
  auto matrix = QuantizedMatrix::make(module, *format, std::move(parts));
  matrix.require_finite_scales(module);
  return matrix;
}

bool Checkpoint::is_left_out(const std::string& name) const {
  constexpr std::string_view kLayers = "model.layers.";
  if (!layers_ || !name.starts_with(kLayers)) return false;
  int64_t layer = 0;
  const char* const end = name.data() + name.size();
  const auto [rest, error] = std::from_chars(name.data() + kLayers.size(), end, layer);
  return error == std::errc() && rest != end && *rest == '.' && layer >= *layers_;
}

void Checkpoint::require_all_used() const {
  std::vector<std::string> unknown;
  for (const auto& [name, entry] : weights_.tensors())
    if (!used_.contains(name) && !is_left_out(name)) unknown.push_back(name);
  if (!unknown.empty())
    fail(ErrorKind::kCheckpoint, "{}: the model has no place for {} of its tensors: {}",
         path().string(), unknown.size(), shown(unknown));
  std::vector<std::string> strays;
  for (const auto& [module, format] : quantization().overrides())
    if (!modules_.contains(module) && !is_left_out(module)) strays.push_back(module);
  if (!strays.empty())
    fail(ErrorKind::kCheckpoint, "{}: quantization: no module is called {}", config().what(),
         shown(strays));
}

}  // namespace strake
