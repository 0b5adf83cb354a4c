// A model's directory: config, weights, and which of them have been used.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "io/model_config.h"
#include "io/safetensors.h"
#include "strake/quant/weight.h"
#include "strake/shard/partition.h"

namespace strake {

// The part of a tensor that a rank holds: these elements of one axis, in order.
struct Cut {
  int axis;
  std::vector<Range> ranges;
};

// Tensors are asked for by name with the shape that the model expects of the whole; what is
// returned is the cut, and only its bytes are read. On Device::meta() nothing is read at all: the
// tensors then have shapes and formats but no bytes, which is enough to plan.
class Checkpoint {
 public:
  // Throws Error(kSystem), Error(kCheckpoint), Error(kUnsupported) as the readers do.
  static Checkpoint open(const std::filesystem::path& directory, Device device = Device::cpu());

  const std::filesystem::path& path() const { return weights_.path(); }
  const ModelConfig& config() const { return config_; }
  const QuantizationConfig& quantization() const { return quantization_; }
  const SafetensorsDirectory& weights() const { return weights_; }
  Device device() const { return device_; }

  bool has(const std::string& name) const { return weights_.tensors().contains(name); }

  // How the module's weight of so many inputs is stored; nothing for a dense one. Throws
  // Error(kCheckpoint) when config and tensors disagree.
  std::optional<Format> format(const std::string& module, int64_t inputs);

  // `<module>.weight` with its scales and biases where it has them. `shape` is logical and of the
  // whole: [out, in] or [experts, out, in]. Throws Error(kCheckpoint) that names the module:
  // missing tensors, shapes or dtypes that contradict the format, scales that are not finite;
  // Error(kUsage) for a cut within a quantization group or beyond the shape.
  Weight weight(const std::string& module, const Shape& shape,
                const std::optional<Cut>& cut = std::nullopt);
  // One floating tensor by its full name.
  Tensor tensor(const std::string& name, const Shape& shape,
                const std::optional<Cut>& cut = std::nullopt);

  // Marks a tensor that this kind of model never needs.
  void ignore(const std::string& name) { used_.insert(name); }
  // Throws Error(kCheckpoint) that names the tensors that nothing asked for, and the overrides of
  // config.json that belong to no module.
  void require_all_used() const;

  int64_t bytes_read() const { return weights_.bytes_read(); }

 private:
  Checkpoint(ModelConfig config, SafetensorsDirectory weights, Device device);

  const TensorEntry& use(const std::string& name);
  // The cut, in stored elements.
  Tensor read(const std::string& name, const std::optional<Cut>& cut);
  void expect_shape(const std::string& name, const Shape& expected) const;

  ModelConfig config_;
  QuantizationConfig quantization_;
  SafetensorsDirectory weights_;
  Device device_;
  std::set<std::string> used_;
  std::set<std::string> modules_;  // whose format was asked for
};

}  // namespace strake
