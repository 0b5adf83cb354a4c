#include "nn/layer_loader.h"

#include <algorithm>
#include <utility>

namespace strake {
namespace {

// Affine scales have the dtype of the values that they were made of; MLX takes bfloat16 for the
// other modes.
DType values_dtype(const Weight& weight) {
  if (weight.dense() != nullptr) return weight.dense()->dtype();
  return weight.format()->has_biases() ? weight.quantized()->scales().dtype() : DType::kBF16;
}

}  // namespace

LayerLoader::LayerLoader(ModelSource& source, Division division, int rank, LoadHooks hooks)
    : state_(
          std::make_shared<State>(State{source, std::move(division), rank, std::move(hooks), {}})) {
}

LayerLoader::LayerLoader(std::shared_ptr<State> state, std::string prefix)
    : state_(std::move(state)), prefix_(std::move(prefix)) {}

LayerLoader LayerLoader::at(std::string_view child) const { return {state_, path(child) + "."}; }

std::string LayerLoader::path(std::string_view name) const { return prefix_ + std::string(name); }

int64_t LayerLoader::input_unit(std::string_view name, int64_t inputs) const {
  return strake::input_unit(state_->source.format(path(name), inputs), inputs);
}

void LayerLoader::loaded(LoadedModule module, const Weight& weight,
                         const std::optional<Tensor>& bias) {
  module.bias = bias ? Bias::kPresent : Bias::kNone;
  loaded(std::move(module), weight,
         weight.nbytes() + (bias ? bias->elements() * size_of(DType::kF32) : 0));
}

void LayerLoader::loaded(LoadedModule module, const Weight& weight, int64_t bytes) {
  module.format = weight.format();
  module.dtype = values_dtype(weight);
  module.bytes = bytes;
  state_->modules.push_back(std::move(module));
  if (state_->hooks.after_each) state_->hooks.after_each(state_->modules.back());
}

Weight LayerLoader::prepared(Weight weight) const {
  if (weight.shape()[-1] == 0) return weight;  // of a rank without inputs: nothing is ever computed
  const SumTree tree = SumTree::whole(weight.shape()[-1]);
  const int root[] = {0};
  return prepared(std::move(weight), {tree, root});
}

Weight LayerLoader::prepared(Weight weight, const PartialSums& sums) const {
  return state_->hooks.prepare ? state_->hooks.prepare(std::move(weight), sums) : weight;
}

Cut LayerLoader::cut(int axis, const Partition& partition) const {
  const auto ranges = partition[state_->rank];
  return {axis, {ranges.begin(), ranges.end()}};
}

std::optional<Tensor> LayerLoader::bias(std::string_view name, const Shape& shape,
                                        const std::optional<Cut>& cut, Bias bias) {
  if (bias == Bias::kNone) return std::nullopt;
  return state_->source.tensor(path(name) + ".bias", shape, cut);
}

std::optional<Tensor> LayerLoader::added(const std::optional<Tensor>& bias) const {
  if (!bias) return std::nullopt;
  return placed(bias->to(DType::kF32));
}

Linear LayerLoader::all_to_sharded(std::string_view name, int64_t inputs, const Partition& outputs,
                                   Bias bias) {
  const Shape shape{outputs.extent(), inputs};
  const Cut rows = cut(0, outputs);
  Weight weight = state_->source.weight(path(name), shape, rows);
  auto offset = this->bias(name, {outputs.extent()}, rows, bias);
  loaded({.path = path(name),
          .kind = ModuleKind::kLinear,
          .shape = shape,
          .sharding = Sharding::kAllToSharded,
          .partition = outputs},
         weight, offset);
  return Linear::all_to_sharded(prepared(std::move(weight)), added(offset), outputs);
}

Linear LayerLoader::sharded_to_all(std::string_view name, const Dimension& inputs, int64_t outputs,
                                   Bias bias) {
  const Shape shape{outputs, inputs.extent()};
  Partition partition = divide(inputs);
  const Reduction reduction(inputs, partition);
  Weight weight = state_->source.weight(path(name), shape, cut(1, partition));
  auto offset = this->bias(name, {outputs}, std::nullopt, bias);
  loaded({.path = path(name),
          .kind = ModuleKind::kLinear,
          .shape = shape,
          .sharding = Sharding::kShardedToAll,
          .partition = partition,
          .axis = 1,
          .sent = reduction.bytes_sent(rank(), outputs)},
         weight, offset);
  return Linear::sharded_to_all(prepared(std::move(weight), reduction.part(rank())), added(offset),
                                inputs, std::move(partition));
}

Linear LayerLoader::whole(std::string_view name, const Shape& shape, Bias bias, ModuleKind kind) {
  Weight weight = state_->source.weight(path(name), shape, std::nullopt);
  auto offset = this->bias(name, {shape[0]}, std::nullopt, bias);
  loaded({.path = path(name), .kind = kind, .shape = shape}, weight, offset);
  return Linear(prepared(std::move(weight)), added(offset));
}

StackedLinear LayerLoader::stack(std::string_view name, const Shape& shape, const StackPart& part) {
  const Cut held = cut(part.axis, part.partition);
  Weight weight = state_->source.weight(path(name), shape, held);
  const auto offsets = this->bias(name, {shape[0], shape[1]}, held, part.bias);
  loaded({.path = path(name),
          .kind = ModuleKind::kLinear,
          .shape = shape,
          .sharding = part.axis == 2 ? Sharding::kShardedToAll : Sharding::kAllToSharded,
          .partition = part.partition,
          .axis = part.axis,
          .read_share = part.read_share,
          .sent = part.sent,
          .bias = offsets ? Bias::kPresent : Bias::kNone},
         weight, weight.nbytes() + (offsets ? offsets->nbytes() : 0));
  std::optional<Weight> bias;
  if (offsets) bias = prepared(*offsets);
  if (part.sums) return {prepared(std::move(weight), *part.sums), std::move(bias)};
  return {prepared(std::move(weight)), std::move(bias)};
}

Weight LayerLoader::heads(std::string_view name, const Shape& shape, const Partition& partition) {
  return head_parts(name, shape, partition,
                    [](const Weight& weight) { return std::vector{weight}; })
      .front();
}

std::vector<Weight> LayerLoader::head_parts(
    std::string_view name, const Shape& shape, const Partition& partition,
    const std::function<std::vector<Weight>(const Weight&)>& keep) {
  const Weight weight = state_->source.weight(path(name), shape, cut(0, partition));
  std::vector<Weight> parts = keep(weight);
  int64_t bytes = 0;
  for (const Weight& part : parts) bytes += part.nbytes();
  loaded({.path = path(name),
          .kind = ModuleKind::kLinear,
          .shape = shape,
          .sharding = Sharding::kAllToSharded,
          .partition = partition},
         weight, bytes);
  for (Weight& part : parts) part = prepared(std::move(part));
  return parts;
}

Embedding LayerLoader::embedding(std::string_view name, int64_t vocabulary, int64_t width,
                                 EmbeddingUse use) {
  Partition partition = divide(Dimension(path(name) + ", vocabulary", vocabulary, 1));
  Weight rows = state_->source.weight(path(name), {vocabulary, width}, cut(0, partition));
  // The logits of its rows, and the row of a token where it holds that.
  const int64_t own = partition.size(rank());
  const int64_t numbers = (use == EmbeddingUse::kRow ? 0 : own) +
                          (use == EmbeddingUse::kLogits ? 0 : own * width / vocabulary);
  loaded({.path = path(name),
          .kind = ModuleKind::kEmbedding,
          .shape = {vocabulary, width},
          .sharding = Sharding::kAllToSharded,
          .partition = partition,
          .read_share = use == EmbeddingUse::kRow ? 1 / static_cast<double>(vocabulary) : 1,
          .sent = numbers * static_cast<int64_t>(sizeof(float)) * (partition.ranks() - 1)},
         rows);
  return {prepared(std::move(rows)), std::move(partition)};
}

Tensor LayerLoader::tensor(std::string_view name, const Shape& shape, const Partition* rows) {
  return read(name, shape, rows, std::nullopt);
}

Tensor LayerLoader::floats(std::string_view name, const Shape& shape, const Partition* rows) {
  return read(name, shape, rows, DType::kF32);
}

Tensor LayerLoader::read(std::string_view name, const Shape& shape, const Partition* rows,
                         std::optional<DType> kept) {
  std::optional<Cut> part;
  if (rows != nullptr) part = cut(0, *rows);
  const Tensor tensor = state_->source.tensor(path(name), shape, part);
  LoadedModule module{.path = path(name), .kind = ModuleKind::kOther, .shape = shape};
  if (rows != nullptr) {
    module.sharding = Sharding::kAllToSharded;
    module.partition = *rows;
  }
  Tensor result = tensor.to(kept.value_or(tensor.dtype()));
  loaded(std::move(module), tensor, result.nbytes());
  return result;
}

LayerNorm LayerLoader::layer_norm(std::string_view name, int64_t width, float eps) {
  Tensor weight = placed(tensor(std::string(name) + ".weight", {width}));
  return {std::move(weight), placed(tensor(std::string(name) + ".bias", {width})), eps};
}

RmsNorm LayerLoader::rms_norm(std::string_view name, int64_t width, float eps, NormWeight weight) {
  const std::string full = std::string(name) + ".weight";
  if (weight == NormWeight::kFactor) return {placed(tensor(full, {width})), eps};
  const Tensor stored = floats(full, {width});
  if (stored.device().kind == DeviceKind::kMeta) return {stored, eps};
  Tensor factors = Tensor::empty(DType::kF32, {width});
  std::ranges::transform(stored.data<float>(), factors.mutable_data<float>().begin(),
                         [](float x) { return x + 1.0f; });
  return {placed(factors), eps};
}

}  // namespace strake
