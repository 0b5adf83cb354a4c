#include "nn/rope.h"

#include <cmath>
#include <numbers>
#include <vector>

#include "base/fail.h"

namespace strake {
namespace {

constexpr int64_t kMaxDims = 65536;  // keeps a damaged config from filling the memory

double linear_frequency(const ModelConfig& scaling, double frequency) {
  const double factor = scaling.number("factor");
  if (!(factor > 0))
    fail(ErrorKind::kCheckpoint, "{}: factor: a number above 0 expected, found {}", scaling.what(),
         factor);
  return frequency / factor;
}

// Llama 3.1's rule: wavelengths above original / low_freq_factor turn `factor` times slower, those
// below original / high_freq_factor as before, and those between in proportion.
double llama3_frequency(const ModelConfig& scaling, double frequency) {
  const double factor = scaling.number("factor");
  const double low = scaling.number_or("low_freq_factor", 1.0);
  const double high = scaling.number_or("high_freq_factor", 4.0);
  const double original = scaling.number_or("original_max_position_embeddings", 8192.0);
  if (!(factor > 0) || !(low > 0) || !(high > low) || !(original > 0))
    fail(ErrorKind::kCheckpoint,
         "{}: factor {}, low_freq_factor {}, high_freq_factor {} and "
         "original_max_position_embeddings "
         "{} must be above 0, and the low one below the high one",
         scaling.what(), factor, low, high, original);
  const double wavelength = 2 * std::numbers::pi / frequency;
  if (wavelength > original / low) return frequency / factor;
  if (wavelength < original / high) return frequency;
  const double smooth = (original / wavelength - low) / (high - low);
  return (1 - smooth) * frequency / factor + smooth * frequency;
}

}  // namespace

RopeTable make_rope(const ModelConfig& config, int64_t dims, double default_theta) {
  if (dims < 2 || dims > kMaxDims || dims % 2 != 0)
    fail(ErrorKind::kCheckpoint, "{}: heads of {} elements: an even number up to {} expected",
         config.what(), dims, kMaxDims);
  auto scaling = config.object("rope_scaling");
  const auto parameters = config.object("rope_parameters");
  if (!scaling) scaling = parameters;
  const double theta = parameters && parameters->has("rope_theta")
                           ? parameters->number("rope_theta")
                           : config.number_or("rope_theta", default_theta);
  if (!(theta > 0))
    fail(ErrorKind::kCheckpoint, "{}: rope_theta: a number above 0 expected, found {}",
         config.what(), theta);
  const std::string type =
      !scaling ? "default" : scaling->text_or("rope_type", scaling->text_or("type", "default"));
  if (type != "default" && type != "linear" && type != "llama3")
    fail(ErrorKind::kUnsupported,
         "{}: rope type '{}' is not supported; known: default, linear, llama3", scaling->what(),
         type);
  std::vector<float> frequencies;
  for (int64_t i = 0; i < dims / 2; ++i) {
    double frequency = std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(dims));
    if (type == "linear") frequency = linear_frequency(*scaling, frequency);
    if (type == "llama3") frequency = llama3_frequency(*scaling, frequency);
    frequencies.push_back(static_cast<float>(frequency));
  }
  return {RopeTable::Pairs::kHalves, dims,
          Tensor::from(std::span<const float>(frequencies), {dims / 2})};
}

}  // namespace strake
