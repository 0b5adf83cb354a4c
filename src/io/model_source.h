// What a model is made from: its config, and its weights by name.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "io/model_config.h"
#include "strake/quant/weight.h"
#include "strake/shard/partition.h"

namespace strake {

class ReadAhead;

// The part of a tensor that a rank holds: these elements of one axis, in order.
struct Cut {
  int axis;
  std::vector<Range> ranges;
  friend bool operator==(const Cut&, const Cut&) = default;
};

// Tensors are asked for by name with the shape that the model expects of the whole; what is
// returned is the cut, and no more than that is read or made. On Device::meta() the tensors have
// shapes and formats but no bytes, which is enough to plan.
class ModelSource {
 public:
  virtual ~ModelSource() = default;

  const ModelConfig& config() const { return config_; }
  const QuantizationConfig& quantization() const { return quantization_; }
  Device device() const { return device_; }

  // How the module's weight of so many inputs is stored; nothing for a dense one. Throws
  // Error(kCheckpoint) when config and tensors disagree.
  virtual std::optional<Format> format(const std::string& module, int64_t inputs) = 0;
  // The module's weight. `shape` is logical and of the whole: [out, in] or [experts, out, in].
  // Throws Error(kUsage) for a cut within a quantization group or beyond the shape, and what
  // reading throws.
  virtual Weight weight(const std::string& module, const Shape& shape,
                        const std::optional<Cut>& cut) = 0;
  // One floating tensor by its full name.
  virtual Tensor tensor(const std::string& name, const Shape& shape,
                        const std::optional<Cut>& cut) = 0;
  // Marks a tensor that this kind of model never needs.
  virtual void ignore(const std::string& name) = 0;
  // The same for all of `model.layers.N` with N >= layers: those that predict further tokens.
  virtual void ignore_layers_from(int64_t layers) = 0;
  // Throws Error(kCheckpoint) that names what the model has no place for.
  virtual void require_all_used() const = 0;

  // The same model on Device::meta().
  virtual std::unique_ptr<ModelSource> without_bytes() const = 0;
  // Reads what a twin, made by without_bytes(), was asked for, some way ahead of what this one is
  // asked for; until the result is destroyed. Nothing where nothing is read.
  virtual std::shared_ptr<ReadAhead> read_ahead(ModelSource& twin);

 protected:
  ModelSource(ModelConfig config, Device device)
      : config_(std::move(config)),
        quantization_(QuantizationConfig::parse(config_)),
        device_(device) {}
  ModelSource(const ModelSource&) = default;
  ModelSource(ModelSource&&) = default;
  ModelSource& operator=(const ModelSource&) = default;
  ModelSource& operator=(ModelSource&&) = default;

 private:
  ModelConfig config_;
  QuantizationConfig quantization_;
  Device device_;
};

// Opens one model: for its weights, or on Device::meta() for its plan.
using OpenModel = std::function<std::unique_ptr<ModelSource>(Device)>;

// The cut in units of stored elements, `stored` of them for every `logical` elements. Throws
// Error(kUsage) that names `name` where the cut is not whole units.
std::optional<Cut> rescale(const std::string& name, const std::optional<Cut>& cut, int64_t logical,
                           int64_t stored);

// The whole tensor's shape, or that of the cut.
Shape shape_of_cut(const Shape& whole, const std::optional<Cut>& cut);

}  // namespace strake
