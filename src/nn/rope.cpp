#include "nn/rope.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "base/fail.h"

namespace strake {
namespace {

constexpr int64_t kMaxDims = 65536;  // keeps a damaged config from filling the memory

// What a type of rope is made from.
struct RopeFields {
  const ModelConfig& config;
  const ModelConfig& scaling;
  double theta;
  int64_t dims;

  double positive(std::string_view field) const { return positive(field, scaling.number(field)); }
  double positive_or(std::string_view field, double fallback) const {
    return positive(field, scaling.number_or(field, fallback));
  }
  double original_positions(double fallback) const {
    return positive_or("original_max_position_embeddings", fallback);
  }

 private:
  double positive(std::string_view field, double value) const {
    if (!(value > 0))
      fail(ErrorKind::kCheckpoint, "{}: {}: a number above 0 expected, found {}", scaling.what(),
           field, value);
    return value;
  }
};

// Radians a position of each pair, and what turned elements are multiplied with.
struct Turning {
  std::vector<double> frequencies;
  double magnitude = 1;
};

Turning turn_by_default(const RopeFields& rope) {
  Turning turning;
  const auto dims = static_cast<double>(rope.dims);
  for (int64_t i = 0; i < rope.dims; i += 2)
    turning.frequencies.push_back(std::pow(rope.theta, -static_cast<double>(i) / dims));
  return turning;
}

Turning turn_linearly(const RopeFields& rope) {
  Turning turning = turn_by_default(rope);
  const double factor = rope.positive("factor");
  for (double& frequency : turning.frequencies) frequency /= factor;
  return turning;
}

// Llama 3.1's rule: wavelengths above original / low_freq_factor turn `factor` times slower, those
// below original / high_freq_factor as before, and those between in proportion.
Turning turn_as_llama3(const RopeFields& rope) {
  const double factor = rope.positive("factor");
  const double low = rope.positive_or("low_freq_factor", 1.0);
  const double high = rope.positive_or("high_freq_factor", 4.0);
  const double original = rope.original_positions(8192.0);
  if (!(high > low))
    fail(ErrorKind::kCheckpoint,
         "{}: high_freq_factor: above low_freq_factor {} expected, found {}", rope.scaling.what(),
         low, high);
  Turning turning = turn_by_default(rope);
  for (double& frequency : turning.frequencies) {
    const double turns = original * frequency / (2 * std::numbers::pi);
    const double kept = std::clamp((turns - low) / (high - low), 0.0, 1.0);
    frequency = (1 - kept) * frequency / factor + kept * frequency;
  }
  return turning;
}

double yarn_magnitude(double factor, double mscale) {
  return factor <= 1 ? 1.0 : 0.1 * mscale * std::log(factor) + 1.0;
}

// Pairs that turn more than beta_fast times over the original positions turn as before, those below
// beta_slow `factor` times slower, and those between along a ramp over the pairs.
Turning turn_as_yarn(const RopeFields& rope) {
  const double factor = rope.positive("factor");
  const double original =
      rope.original_positions(rope.config.number_or("max_position_embeddings", 4096.0));
  const auto dims = static_cast<double>(rope.dims);
  const auto pair_of = [&](double turns) {
    return dims * std::log(original / (turns * 2 * std::numbers::pi)) / (2 * std::log(rope.theta));
  };
  double first = pair_of(rope.positive_or("beta_fast", 32.0));
  double last = pair_of(rope.positive_or("beta_slow", 1.0));
  if (rope.scaling.flag_or("truncate", true)) {
    first = std::floor(first);
    last = std::ceil(last);
  }
  first = std::max(first, 0.0);
  last = std::min(last, dims - 1);
  if (first == last) last += 0.001;  // as all implementations do
  Turning turning = turn_by_default(rope);
  for (size_t i = 0; i < turning.frequencies.size(); ++i) {
    const double slowed = std::clamp((static_cast<double>(i) - first) / (last - first), 0.0, 1.0);
    double& frequency = turning.frequencies[i];
    frequency = slowed * frequency / factor + (1 - slowed) * frequency;
  }
  turning.magnitude =
      rope.positive_or("attention_factor",
                       yarn_magnitude(factor, rope.scaling.number_or("mscale", 1.0)) /
                           yarn_magnitude(factor, rope.scaling.number_or("mscale_all_dim", 0.0)));
  return turning;
}

Turning turn_as_longrope(const RopeFields& rope) {
  Turning turning = turn_by_default(rope);
  const std::vector<double> factors = rope.scaling.numbers("long_factor");
  if (factors.size() != turning.frequencies.size())
    fail(ErrorKind::kCheckpoint, "{}: long_factor: {} numbers expected, found {}",
         rope.scaling.what(), turning.frequencies.size(), factors.size());
  for (size_t i = 0; i < factors.size(); ++i) turning.frequencies[i] /= factors[i];
  const double original =
      rope.original_positions(rope.config.number_or("original_max_position_embeddings", 4096.0));
  const double longer = rope.config.number_or("max_position_embeddings", original) / original;
  turning.magnitude = rope.positive_or(
      "attention_factor", longer <= 1 ? 1.0 : std::sqrt(1 + std::log(longer) / std::log(original)));
  return turning;
}

struct RopeType {
  std::string_view name;
  Turning (*turn)(const RopeFields&);
};
constexpr RopeType kRopeTypes[] = {
    {"default", turn_by_default}, {"linear", turn_linearly},       {"llama3", turn_as_llama3},
    {"yarn", turn_as_yarn},       {"deepseek_yarn", turn_as_yarn}, {"longrope", turn_as_longrope},
};

std::string type_of(const ModelConfig& scaling) {
  return scaling.text_or("rope_type", scaling.text_or("type", "default"));
}

const RopeType& find_type(const ModelConfig& scaling) {
  const std::string type = type_of(scaling);
  std::vector<std::string_view> names;
  for (const RopeType& known : kRopeTypes) {
    if (known.name == type) return known;
    names.push_back(known.name);
  }
  fail(ErrorKind::kUnsupported, "{}: rope type '{}' is not supported; known: {}", scaling.what(),
       type, fmt::join(names, ", "));
}

std::optional<ModelConfig> scaling_of(const ModelConfig& config) {
  auto scaling = config.object("rope_scaling");
  return scaling ? scaling : config.object("rope_parameters");
}

}  // namespace

RopeTable make_rope(const ModelConfig& config, const std::optional<ModelConfig>& scaling,
                    int64_t dims, double theta) {
  if (dims < 2 || dims > kMaxDims || dims % 2 != 0)
    fail(ErrorKind::kCheckpoint, "{}: heads of {} elements: an even number up to {} expected",
         config.what(), dims, kMaxDims);
  if (scaling) theta = scaling->number_or("rope_theta", theta);
  if (!(theta > 0))
    fail(ErrorKind::kCheckpoint, "{}: rope_theta: a number above 0 expected, found {}",
         config.what(), theta);
  const RopeFields fields{config, scaling ? *scaling : config, theta, dims};
  const Turning turning = scaling ? find_type(*scaling).turn(fields) : turn_by_default(fields);
  std::vector<float> frequencies;
  for (const double frequency : turning.frequencies)
    frequencies.push_back(static_cast<float>(frequency));
  return {RopeTable::Pairs::kHalves, dims,
          Tensor::from(std::span<const float>(frequencies), {dims / 2}),
          static_cast<float>(turning.magnitude)};
}

RopeTable make_rope(const ModelConfig& config, int64_t dims, double default_theta) {
  const auto parameters = config.object("rope_parameters");
  double theta = config.number_or("rope_theta", default_theta);
  if (parameters) theta = parameters->number_or("rope_theta", theta);
  return make_rope(config, scaling_of(config), dims, theta);
}

int64_t rotary_dims(const ModelConfig& config, int64_t head_dim) {
  const auto parameters = config.object("rope_parameters");
  double factor = config.number_or("partial_rotary_factor", 1.0);
  if (parameters) factor = parameters->number_or("partial_rotary_factor", factor);
  if (!(factor > 0) || factor > 1)
    fail(ErrorKind::kCheckpoint,
         "{}: partial_rotary_factor: a number above 0 and up to 1 expected, found {}",
         config.what(), factor);
  return static_cast<int64_t>(static_cast<double>(head_dim) * factor);
}

float rope_score_scale(const ModelConfig& config) {
  const auto scaling = scaling_of(config);
  if (!scaling || find_type(*scaling).turn != turn_as_yarn) return 1.0f;
  const double once =
      yarn_magnitude(scaling->number_or("factor", 1.0), scaling->number_or("mscale_all_dim", 0.0));
  return static_cast<float>(once * once);
}

}  // namespace strake
