#include "nn/layer_loader.h"

#include <algorithm>
#include <utility>

namespace strake {

LayerLoader::LayerLoader(ModelSource& source, Shares shares, int rank, LoadHooks hooks)
    : state_(
          std::make_shared<State>(State{source, std::move(shares), rank, std::move(hooks), {}})) {}

LayerLoader::LayerLoader(std::shared_ptr<State> state, std::string prefix)
    : state_(std::move(state)), prefix_(std::move(prefix)) {}

LayerLoader LayerLoader::at(std::string_view child) const { return {state_, path(child) + "."}; }

std::string LayerLoader::path(std::string_view name) const { return prefix_ + std::string(name); }

int64_t LayerLoader::input_unit(std::string_view name, int64_t inputs) const {
  return strake::input_unit(state_->source.format(path(name), inputs), inputs);
}

void LayerLoader::loaded(LoadedModule module) {
  state_->modules.push_back(std::move(module));
  if (state_->hooks.after_each) state_->hooks.after_each();
}

Weight LayerLoader::prepared(Weight weight) const {
  return state_->hooks.prepare ? state_->hooks.prepare(std::move(weight)) : weight;
}

Cut LayerLoader::cut(int axis, const Partition& partition) const {
  const auto ranges = partition[state_->rank];
  return {axis, {ranges.begin(), ranges.end()}};
}

std::optional<Tensor> LayerLoader::bias(std::string_view name, int64_t outputs,
                                        const std::optional<Cut>& cut, Bias bias) {
  if (bias == Bias::kNone) return std::nullopt;
  return state_->source.tensor(path(name) + ".bias", {outputs}, cut);
}

Linear LayerLoader::all_to_sharded(std::string_view name, int64_t inputs, const Partition& outputs,
                                   Bias bias) {
  const Shape shape{outputs.extent(), inputs};
  const Cut rows = cut(0, outputs);
  Weight weight = state_->source.weight(path(name), shape, rows);
  auto offset = this->bias(name, outputs.extent(), rows, bias);
  loaded({path(name), ModuleKind::kLinear, shape, weight.format(), Sharding::kAllToSharded, outputs,
          weight.nbytes() + (offset ? offset->nbytes() : 0)});
  return Linear::all_to_sharded(prepared(std::move(weight)), std::move(offset), outputs);
}

Linear LayerLoader::sharded_to_all(std::string_view name, const Dimension& inputs, int64_t outputs,
                                   Bias bias) {
  const Shape shape{outputs, inputs.extent()};
  Partition partition = divide(inputs);
  Weight weight = state_->source.weight(path(name), shape, cut(1, partition));
  auto offset = this->bias(name, outputs, std::nullopt, bias);
  loaded({path(name), ModuleKind::kLinear, shape, weight.format(), Sharding::kShardedToAll,
          partition, weight.nbytes() + (offset ? offset->nbytes() : 0)});
  return Linear::sharded_to_all(prepared(std::move(weight)), std::move(offset), inputs,
                                std::move(partition));
}

Embedding LayerLoader::embedding(std::string_view name, int64_t vocabulary, int64_t width,
                                 EmbeddingUse use) {
  Partition partition = divide(Dimension(path(name) + ", vocabulary", vocabulary, 1));
  Weight rows = state_->source.weight(path(name), {vocabulary, width}, cut(0, partition));
  loaded({path(name),
          ModuleKind::kEmbedding,
          {vocabulary, width},
          rows.format(),
          Sharding::kAllToSharded,
          partition,
          rows.nbytes(),
          use == EmbeddingUse::kRow ? 1 / static_cast<double>(vocabulary) : 1});
  return {prepared(std::move(rows)), std::move(partition)};
}

Tensor LayerLoader::tensor(std::string_view name, const Shape& shape, const Partition* rows) {
  std::optional<Cut> part;
  if (rows != nullptr) part = cut(0, *rows);
  Tensor tensor = state_->source.tensor(path(name), shape, part);
  loaded({path(name), ModuleKind::kOther, shape, std::nullopt,
          rows != nullptr ? Sharding::kAllToSharded : Sharding::kNone,
          rows != nullptr ? std::optional(*rows) : std::nullopt, tensor.nbytes()});
  return tensor;
}

RmsNorm LayerLoader::rms_norm(std::string_view name, int64_t width, float eps, NormWeight weight) {
  Tensor factors = tensor(std::string(name) + ".weight", {width});
  if (weight == NormWeight::kLessOne && factors.device().kind != DeviceKind::kMeta) {
    Tensor sums = Tensor::empty(DType::kF32, {width});
    const Tensor stored = factors.to(DType::kF32);
    std::ranges::transform(stored.data<float>(), sums.mutable_data<float>().begin(),
                           [](float x) { return x + 1.0f; });
    factors = sums;
  }
  return {std::move(factors), eps};
}

}  // namespace strake
