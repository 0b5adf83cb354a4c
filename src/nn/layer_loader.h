// Layers made from a model's source, each rank's part of each.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/model_source.h"
#include "nn/division.h"
#include "nn/layer_norm.h"
#include "strake/nn/embedding.h"
#include "strake/nn/linear.h"
#include "strake/nn/rms_norm.h"

namespace strake {

enum class Bias { kNone, kPresent };

// What kind of module a loaded tensor belongs to: quantizing turns linear layers, routers and
// embeddings into their quantized forms and leaves the rest.
enum class ModuleKind {
  kLinear,
  kRouter,  // a linear layer that decides which experts a token goes to
  kEmbedding,
  kOther,
};

// One module (or lone tensor) as a rank holds it.
struct LoadedModule {
  std::string path;  // "model.layers.0.mlp.down_proj"; a lone tensor's full name
  ModuleKind kind;
  Shape shape;  // of the whole weight
  Sharding sharding = Sharding::kNone;
  std::optional<Partition> partition = {};  // nothing where replicated
  int axis = 0;                             // of the shape, that the partition divides
  double read_share = 1;                    // of the bytes, how many one token reads
  int64_t sent = 0;                         // bytes that this rank sends to others for one token
  // What it was read as.
  std::optional<Format> format = {};
  DType dtype = DType::kBF16;  // of its values, or of those that it was quantized from
  Bias bias = Bias::kNone;
  int64_t bytes = 0;  // that this rank holds of it, without what a backend's layout fills up
};

// A stack of matrices, as a rank holds it.
struct StackedLinear {
  Weight weight;               // [stack, out, in]
  std::optional<Weight> bias;  // [stack, out]
};

// Which part of a stack that is: of its matrices (axis 0), their outputs (1) or inputs (2).
struct StackPart {
  int axis;
  const Partition& partition;
  Bias bias;  // of parts of the inputs: none
  double read_share = 1;
  int64_t sent = 0;                      // as in LoadedModule
  std::optional<PartialSums> sums = {};  // that products compute, where ranks divide the inputs
};

// How a checkpoint stores the factors of a norm: as they are, or less 1.
enum class NormWeight { kFactor, kLessOne };

// What a token reads of an embedding: its row, or all of it where it makes the logits, alone or
// too.
enum class EmbeddingUse { kRow, kLogits, kBoth };

// What is done beside reading. A plan does neither.
struct LoadHooks {
  // Each weight, once read, for products that compute these sums.
  std::function<Weight(Weight, const PartialSums&)> prepare = {};
  std::function<void(const LoadedModule&)> after_each = {};
  std::optional<Place> place = {};  // of tensors and caches; nothing: the source's
};

// Names layers by their path and reads this rank's part of each. A model's constructor is a list
// of these calls; run on a source without bytes (Device::meta()), the same list is the plan.
class LayerLoader {
 public:
  LayerLoader(ModelSource& source, Division division, int rank, LoadHooks hooks = {});

  // The same loader with a longer path.
  LayerLoader at(std::string_view child) const;

  const ModelConfig& config() const { return state_->source.config(); }
  Device device() const { return state_->source.device(); }
  int rank() const { return state_->rank; }
  const Shares& shares() const { return state_->division.shares; }
  ExpertDivision expert_division() const { return state_->division.experts; }
  // A dimension whose sums ranks divide, by whole units of `unit` elements.
  Dimension dimension(std::string name, int64_t extent, int64_t unit) const {
    return Dimension(std::move(name), extent, unit).with_parts(state_->division.parts);
  }
  Partition divide(const Dimension& dimension) const {
    return Partition::divide(dimension, shares());
  }

  // Elements along the inputs of module `name` that cannot be cut.
  int64_t input_unit(std::string_view name, int64_t inputs) const;
  std::string path(std::string_view name) const;

  Linear all_to_sharded(std::string_view name, int64_t inputs, const Partition& outputs, Bias bias);
  Linear sharded_to_all(std::string_view name, const Dimension& inputs, int64_t outputs, Bias bias);
  // A layer [out, in] that every rank holds.
  Linear whole(std::string_view name, const Shape& shape, Bias bias,
               ModuleKind kind = ModuleKind::kLinear);
  // `shape` is of the whole stack, [stack, out, in].
  StackedLinear stack(std::string_view name, const Shape& shape, const StackPart& part);
  // Of a weight whose outermost axis the partition divides, what this rank holds; or all that
  // `keep` makes of it in its place.
  Weight heads(std::string_view name, const Shape& shape, const Partition& partition);
  std::vector<Weight> head_parts(std::string_view name, const Shape& shape,
                                 const Partition& partition,
                                 const std::function<std::vector<Weight>(const Weight&)>& keep);
  Embedding embedding(std::string_view name, int64_t vocabulary, int64_t width, EmbeddingUse use);
  RmsNorm rms_norm(std::string_view name, int64_t width, float eps,
                   NormWeight weight = NormWeight::kFactor);
  LayerNorm layer_norm(std::string_view name, int64_t width, float eps);
  // A lone floating tensor: whole, or this rank's part of its outermost axis.
  Tensor tensor(std::string_view name, const Shape& shape, const Partition* rows = nullptr);
  // The same, kept in float32.
  Tensor floats(std::string_view name, const Shape& shape, const Partition* rows = nullptr);
  // The weight as products read it fastest.
  Weight prepared(Weight weight) const;
  Weight prepared(Weight weight, const PartialSums& sums) const;
  // Where tensors are computed with, and the tensor there.
  Place place() const { return state_->hooks.place.value_or(device()); }
  Tensor placed(const Tensor& tensor) const { return tensor.at(place()); }
  // Tensors that older exporters wrote and nobody needs.
  void ignore(std::string_view name) { state_->source.ignore(path(name)); }
  void ignore_layers_from(int64_t layers) { state_->source.ignore_layers_from(layers); }

  const std::vector<LoadedModule>& modules() const { return state_->modules; }

 private:
  struct State {
    ModelSource& source;
    Division division;
    int rank;
    LoadHooks hooks;
    std::vector<LoadedModule> modules;
  };
  LayerLoader(std::shared_ptr<State> state, std::string prefix);
  // Adds what the module was read as, and the bytes that are kept, to what is known of it.
  void loaded(LoadedModule module, const Weight& weight, int64_t bytes);
  // Where the weight is kept as it was read, and the bias in float32.
  void loaded(LoadedModule module, const Weight& weight, const std::optional<Tensor>& bias = {});
  Tensor read(std::string_view name, const Shape& shape, const Partition* rows,
              std::optional<DType> kept);
  Cut cut(int axis, const Partition& partition) const;
  // A bias as products' results have it.
  std::optional<Tensor> added(const std::optional<Tensor>& bias) const;
  std::optional<Tensor> bias(std::string_view name, const Shape& shape,
                             const std::optional<Cut>& cut, Bias bias);

  std::shared_ptr<State> state_;
  std::string prefix_;
};

}  // namespace strake
