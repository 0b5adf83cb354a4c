#include "io/model_config.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/fail.h"

namespace strake {

ModelConfig ModelConfig::parse(std::string_view text, std::string_view what) {
  Json json = parse_json(text, what);
  if (!json.is_object())
    fail(ErrorKind::kCheckpoint, "{}: a JSON object expected, found {}", what, json.type_name());
  return {std::move(json), std::string(what)};
}

ModelConfig::ModelConfig(Json json, std::string what)
    : json_(std::move(json)), what_(std::move(what)) {}

const Json* ModelConfig::find(std::string_view field) const {
  const auto at = json_.find(std::string(field));
  return at == json_.end() || at->is_null() ? nullptr : &*at;
}

void ModelConfig::mismatch(std::string_view field, std::string_view expected) const {
  const Json* found = find(field);
  std::string text = found == nullptr ? "nothing" : dump_json(*found);
  if (text.size() > 80) text = text.substr(0, 80) + "...";
  fail(ErrorKind::kCheckpoint, "{}: {}: {} expected, found {}", what_, field, expected, text);
}

bool ModelConfig::has(std::string_view field) const { return find(field) != nullptr; }

int64_t ModelConfig::integer(std::string_view field, int64_t least) const {
  const Json* value = find(field);
  const std::string expected = fmt::format("a whole number of at least {}", least);
  if (value == nullptr || !value->is_number_integer()) mismatch(field, expected);
  if (value->is_number_unsigned() &&
      value->get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int32_t>::max()))
    mismatch(field, "a whole number below 2^31");
  const auto number = value->get<int64_t>();
  if (number < least) mismatch(field, expected);
  return number;
}

int64_t ModelConfig::integer_or(std::string_view field, int64_t fallback) const {
  return has(field) ? integer(field) : fallback;
}

double ModelConfig::number(std::string_view field) const {
  const Json* value = find(field);
  if (value == nullptr || !value->is_number()) mismatch(field, "a number");
  return value->get<double>();
}

double ModelConfig::number_or(std::string_view field, double fallback) const {
  return has(field) ? number(field) : fallback;
}

bool ModelConfig::flag_or(std::string_view field, bool fallback) const {
  const Json* value = find(field);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) mismatch(field, "true or false");
  return value->get<bool>();
}

std::string ModelConfig::text(std::string_view field) const {
  const Json* value = find(field);
  if (value == nullptr || !value->is_string()) mismatch(field, "text");
  return value->get<std::string>();
}

std::string ModelConfig::text_or(std::string_view field, std::string_view fallback) const {
  return has(field) ? text(field) : std::string(fallback);
}

std::vector<double> ModelConfig::numbers(std::string_view field) const {
  const Json* value = find(field);
  if (value == nullptr || !value->is_array() ||
      !std::ranges::all_of(*value, [](const Json& x) { return x.is_number(); }))
    mismatch(field, "a list of numbers");
  return value->get<std::vector<double>>();
}

std::vector<std::string> ModelConfig::texts(std::string_view field) const {
  const Json* value = find(field);
  if (value == nullptr || !value->is_array() ||
      !std::ranges::all_of(*value, [](const Json& x) { return x.is_string(); }))
    mismatch(field, "a list of texts");
  return value->get<std::vector<std::string>>();
}

std::vector<int64_t> ModelConfig::integers(std::string_view field) const {
  const Json* value = find(field);
  if (value == nullptr) return {};
  if (!value->is_array() ||
      !std::ranges::all_of(*value, [](const Json& x) { return x.is_number_integer(); }))
    mismatch(field, "a list of whole numbers");
  return value->get<std::vector<int64_t>>();
}

std::vector<int32_t> ModelConfig::token_ids(std::string_view field) const {
  const Json* value = find(field);
  if (value == nullptr) return {};
  std::vector<int32_t> ids;
  for (const Json& id : value->is_array() ? *value : Json::array({*value})) {
    if (!id.is_number_unsigned() ||
        id.get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int32_t>::max()))
      mismatch(field, "a token id or a list of them");
    ids.push_back(id.get<int32_t>());
  }
  return ids;
}

std::optional<ModelConfig> ModelConfig::object(std::string_view field) const {
  const Json* value = find(field);
  if (value == nullptr) return std::nullopt;
  if (!value->is_object()) mismatch(field, "an object");
  return ModelConfig(*value, fmt::format("{}: {}", what_, field));
}

namespace {

// A format by MLX's rule: a missing mode is affine, a missing or null (or 0) number the mode's
// default. Illegal combinations name the place that asked for them.
Format parse_format(const ModelConfig& object) {
  const auto number = [&](std::string_view field) -> std::optional<int> {
    const int64_t value = object.has(field) ? object.integer(field, 0) : 0;
    return value == 0 ? std::nullopt : std::optional(static_cast<int>(value));
  };
  try {
    return Format::parse(object.text_or("mode", "affine"), number("bits"), number("group_size"));
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kUsage) throw;
    fail(ErrorKind::kCheckpoint, "{}: {}", object.what(), error.what());
  }
}

// Whatever the order of their members.
bool same_members(const Json& a, const Json& b) { return nlohmann::json(a) == nlohmann::json(b); }

bool is_format_field(const std::string& key) {
  return key == "group_size" || key == "bits" || key == "mode";
}

bool is_extent(const Json& value) {
  return value.is_number_unsigned() &&
         value.get<uint64_t>() - 1 < static_cast<uint64_t>(std::numeric_limits<int32_t>::max());
}

// The format of compressed-tensors' `pack-quantized`: symmetric codes of four bits are affine's.
Format packed_format(const ModelConfig& object) {
  if (object.text_or("format", "") != "pack-quantized")
    fail(ErrorKind::kUnsupported, "{}: format: pack-quantized expected, found {}", object.what(),
         object.text_or("format", "nothing"));
  std::optional<Format> format;
  const auto groups = object.object("config_groups");
  const Json none = Json::object();
  for (const auto& [name, ignored] : (groups ? groups->json() : none).items()) {
    const auto group = groups->object(name);
    const auto weights = group ? group->object("weights") : std::nullopt;
    if (!weights) continue;
    if (weights->integer("num_bits") != 4 || weights->text_or("type", "int") != "int" ||
        !weights->flag_or("symmetric", true) || weights->text_or("strategy", "group") != "group")
      fail(ErrorKind::kUnsupported, "{}: symmetric groups of 4-bit integers expected, found {}",
           weights->what(), dump_json(weights->json()).substr(0, 200));
    const Json said = {{"bits", 4}, {"group_size", weights->integer("group_size")}};
    const Format found = parse_format(ModelConfig::parse(dump_json(said), weights->what()));
    if (format && *format != found)
      fail(ErrorKind::kUnsupported, "{}: one group size expected, found {} and {}", groups->what(),
           format->group_size(), found.group_size());
    format = found;
  }
  if (!format)
    fail(ErrorKind::kCheckpoint, "{}: config_groups: a group of weights expected", object.what());
  return *format;
}

}  // namespace

QuantizationConfig QuantizationConfig::parse(const ModelConfig& config) {
  QuantizationConfig result;
  const auto named = config.object("quantization");
  const auto other = config.object("quantization_config");
  if (!named && !other) return result;
  if (other && other->has("quant_method") && !named) {
    result.parse_method(*other);
    return result;
  }
  if (named && other && !other->has("quant_method") && !same_members(named->json(), other->json()))
    fail(ErrorKind::kCheckpoint, "{}: quantization and quantization_config contradict each other",
         config.what());
  const ModelConfig& object = named ? *named : *other;
  for (const std::string_view field : {"group_size", "bits"})
    if (!object.json().contains(std::string(field)))
      fail(ErrorKind::kCheckpoint, "{}: {}: missing", object.what(), field);
  result.global_ = parse_format(object);
  for (const auto& [key, value] : object.json().items()) {
    if (is_format_field(key)) continue;
    if (key == "quantize_activations") {
      if (object.flag_or(key, false))
        fail(ErrorKind::kUnsupported, "{}: {}: quantized activations are not supported",
             object.what(), key);
      continue;
    }
    std::optional<Format> format;
    if (value.is_object() && !value.empty()) {
      const ModelConfig entry = *object.object(key);
      for (const auto& [field, ignored] : value.items())
        if (!is_format_field(field))
          fail(ErrorKind::kCheckpoint, "{}: unknown field '{}'; known: group_size, bits, mode",
               entry.what(), field);
      format = parse_format(entry);
    } else if (value == true) {
      format = result.global_;
    } else if (value != false && !value.is_null() && !(value.is_object() && value.empty())) {
      fail(ErrorKind::kCheckpoint, "{}: {}: an object, true or false expected, found {}",
           object.what(), key, dump_json(value));
    }
    result.overrides_.emplace(key, format);
  }
  return result;
}

void QuantizationConfig::parse_method(const ModelConfig& object) {
  const std::string method = object.text("quant_method");
  if (method == "mxfp4") {
    global_ = Format::parse("mxfp4");
    return;
  }
  if (method == "fp8") {
    const Json blocks = object.json().value("weight_block_size", Json());
    if (!blocks.is_array() || blocks.size() != 2 || !std::ranges::all_of(blocks, is_extent))
      fail(ErrorKind::kUnsupported, "{}: weight_block_size: two extents expected, found {}",
           object.what(), dump_json(blocks).substr(0, 80));
    fp8_block_ = {blocks[0].get<int32_t>(), blocks[1].get<int32_t>()};
    return;
  }
  if (method == "compressed-tensors") {
    global_ = packed_format(object);
    return;
  }
  fail(ErrorKind::kUnsupported,
       "{}: quant_method: '{}' is not supported; convert the model to MLX's form first",
       object.what(), method);
}

std::optional<Format> QuantizationConfig::format_of(const std::string& module,
                                                    bool has_scales) const {
  const auto override = overrides_.find(module);
  const std::optional<Format> said = override != overrides_.end() ? override->second
                                     : has_scales                 ? global_
                                                                  : std::nullopt;
  if (said && !has_scales)
    fail(ErrorKind::kCheckpoint, "{}: config.json says {}, but there is no tensor {}.scales",
         module, said->to_string(), module);
  if (!said && has_scales)
    fail(ErrorKind::kCheckpoint,
         "{}: there is a tensor {}.scales, but config.json says that it is not quantized", module,
         module);
  return said;
}

Json format_json(Format format) {
  return {{"group_size", format.group_size()},
          {"bits", format.bits()},
          {"mode", std::string(format.mode_name())}};
}

}  // namespace strake
