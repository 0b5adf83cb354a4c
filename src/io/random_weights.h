// A model without files: random weights for whatever its layers ask for.
#pragma once

#include "io/model_source.h"

namespace strake {

// Each value depends on the tensor's name and the value's place in the whole alone: every division
// over ranks has the same weights, and a rank makes no more than its part. Weights have zero mean
// and variance 1 / inputs, so that activations stay finite; norms are 1 and biases 0. Linear layers
// and embeddings are in the config's format where their inputs are whole groups, all else is
// bfloat16.
class RandomWeights final : public ModelSource {
 public:
  // Throws Error(kCheckpoint) for a damaged `quantization` of the config.
  RandomWeights(ModelConfig config, Device device);

  std::optional<Format> format(const std::string& module, int64_t inputs) override;
  Weight weight(const std::string& module, const Shape& shape,
                const std::optional<Cut>& cut) override;
  // A name that ends in "bias" is one; other vectors are norms, and all else dense weights.
  Tensor tensor(const std::string& name, const Shape& shape,
                const std::optional<Cut>& cut) override;
  // There is nothing besides what is asked for.
  void ignore(const std::string&) override {}
  void ignore_layers_from(int64_t) override {}
  void require_all_used() const override {}
  std::unique_ptr<ModelSource> without_bytes() const override {
    return std::make_unique<RandomWeights>(config(), Device::meta());
  }
};

}  // namespace strake
