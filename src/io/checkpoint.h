// A model's directory: config, weights, and which of them have been used.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "io/expert_form.h"
#include "io/model_source.h"
#include "io/read_ahead.h"
#include "io/safetensors.h"

namespace strake {

// Only the bytes of what is asked for are read; on Device::meta(), none.
class Checkpoint final : public ModelSource {
 public:
  // Throws Error(kSystem), Error(kCheckpoint), Error(kUnsupported) as the readers do.
  static Checkpoint open(const std::filesystem::path& directory, Device device = Device::cpu());

  const std::filesystem::path& path() const { return weights_.path(); }
  const SafetensorsDirectory& weights() const { return weights_; }

  bool has(const std::string& name) const { return weights_.tensors().contains(name); }

  std::optional<Format> format(const std::string& module, int64_t inputs) override;

  // `<module>.weight` with its scales and biases where it has them. Other forms than MLX's become
  // its own: stacks of experts (ExpertForm), e4m3 in blocks (bfloat16), compressed-tensors' packed
  // weights (affine), and latent attention's `kv_b_proj`. Throws Error(kCheckpoint) that names the
  // module: missing tensors, shapes or dtypes that contradict the format, scales that are not
  // finite.
  Weight weight(const std::string& module, const Shape& shape,
                const std::optional<Cut>& cut = std::nullopt) override;
  Tensor tensor(const std::string& name, const Shape& shape,
                const std::optional<Cut>& cut = std::nullopt) override;

  void ignore(const std::string& name) override { used_.insert(name); }
  void ignore_layers_from(int64_t layers) override { layers_ = layers; }
  // Throws Error(kCheckpoint) that names the tensors that nothing asked for, and the overrides of
  // config.json that belong to no module.
  void require_all_used() const override;

  std::unique_ptr<ModelSource> without_bytes() const override;
  std::shared_ptr<ReadAhead> read_ahead(ModelSource& twin) override;

  int64_t bytes_read() const { return weights_.bytes_read(); }
  // What has been asked for on Device::meta(): all that a rank would have read instead.
  const std::vector<ExpectedRead>& expected_reads() const { return expected_; }

 private:
  Checkpoint(ModelConfig config, SafetensorsDirectory weights, Device device);

  const TensorEntry& use(const std::string& name);
  // Weights that are not in MLX's form, each in a file of its own.
  Weight block_fp8(const std::string& module, const Shape& shape, const std::optional<Cut>& cut);
  Weight packed(const std::string& module, const Shape& shape, const std::optional<Cut>& cut);
  Weight head_projection(const std::string& module, const Shape& shape,
                         const std::optional<Cut>& cut);
  // `kv_b_proj`, where the per-head projection `module` has to be made from it.
  std::optional<std::string> latent_module(const std::string& module) const;
  std::optional<Format> head_projection_format(const std::string& module, const std::string& source,
                                               int64_t inputs);
  // Whether config and model leave this tensor or module out, as a layer beyond the last.
  bool is_left_out(const std::string& name) const;

  // Throws unless it is there, floating and of this shape.
  void expect_floating(const std::string& name, const Shape& expected);
  // The cut, in stored elements.
  Tensor read(const std::string& name, const std::optional<Cut>& cut);
  void expect_read(const std::string& name, const std::optional<Cut>& cut);
  // The whole tensor, or one range of the cut's axis.
  ExpectedRead one_read(const std::string& name, const std::optional<Cut>& cut, Range range) const;
  Tensor read_one(const ExpectedRead& read) const;
  void expect_shape(const std::string& name, const Shape& expected) const;

  // Stacks of experts that are in another form than MLX's (checkpoint_experts.cpp).
  std::optional<ExpertForm> expert_form(const std::string& module) const;
  bool has_scales(const ExpertForm& form) const;
  Weight experts(const std::string& module, const ExpertForm& form, const Shape& shape,
                 const std::optional<Cut>& cut);
  Weight separate_experts(const std::string& module, const ExpertForm& form, const Shape& shape,
                          const std::optional<Cut>& cut);
  Weight block_experts(const std::string& module, const ExpertForm& form, const Shape& shape,
                       const std::optional<Cut>& cut);
  Tensor expert_bias(const ExpertForm& form, const Shape& shape, const std::optional<Cut>& cut);
  Tensor fused_experts(const ExpertForm& form, const Shape& shape, const std::optional<Cut>& cut);
  // The form's elements of an axis that has those of gate and up in turn; or all of it.
  Tensor read_in_turn(const std::string& name, int axis, const ExpertForm& form,
                      const std::optional<Cut>& cut);
  // A tensor with both, read once for the two of them.
  Tensor both_halves(const std::string& name, int half, const std::optional<Cut>& cut);

  // What was read for one half, until the other is asked for.
  struct ReadHalves {
    std::optional<Cut> cut;
    int half;
    Tensor both;
  };

  SafetensorsDirectory weights_;
  std::set<std::string> used_;
  std::set<std::string> modules_;  // whose format was asked for
  std::optional<int64_t> layers_;  // those from here on are left out
  std::map<std::string, ReadHalves> halves_;
  std::vector<ExpectedRead> expected_;
  std::weak_ptr<ReadAhead> ahead_;
};

}  // namespace strake
