#include "nn/experts.h"

#include <string>
#include <utility>

namespace strake {

struct Experts::Parts {
  Mixture::Axis axis;
  Dimension dimension;
  Partition partition;

  static Parts divide(const LayerLoader& load, const ExpertsConfig& config) {
    const std::string down = load.path("down_proj");
    switch (load.expert_division()) {
      case ExpertDivision::kSpread: {
        const Dimension experts = load.dimension(down + ", experts", config.experts, 1);
        return {Mixture::Axis::kExperts, experts, load.divide(experts)};
      }
      case ExpertDivision::kSplit:
        break;
    }
    const Dimension width =
        load.dimension(down + ", inputs", config.width, load.input_unit("down_proj", config.width));
    return {Mixture::Axis::kInputs, width, load.divide(width)};
  }

  StackPart outputs(const ExpertsConfig& config) const {
    return {axis == Mixture::Axis::kInputs ? 1 : 0, partition, config.bias, read_share(config)};
  }
  // Biases of the whole are added after the sum.
  StackPart inputs(const ExpertsConfig& config, int rank, const Reduction& reduction) const {
    StackPart part{axis == Mixture::Axis::kInputs ? 2 : 0, partition, Bias::kNone,
                   read_share(config), reduction.bytes_sent(rank, config.hidden)};
    if (axis == Mixture::Axis::kInputs) part.sums.emplace(reduction.part(rank));
    return part;
  }

 private:
  static double read_share(const ExpertsConfig& config) {
    return static_cast<double>(config.chosen) / static_cast<double>(config.experts);
  }
};

namespace {

// float32 [rows, columns] -> [columns, rows].
Tensor transposed(const Tensor& values) {
  const int64_t rows = values.shape()[0], columns = values.shape()[1];
  Tensor result = Tensor::empty(DType::kF32, {columns, rows});
  const auto from = values.data<float>();
  const auto to = result.mutable_data<float>();
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j)
      to[static_cast<size_t>(j * rows + i)] = from[static_cast<size_t>(i * columns + j)];
  return result;
}

// The experts that a rank holds, all or a part of each.
std::vector<HeldRows> held_experts(const ExpertsConfig& config, Mixture::Axis axis,
                                   std::span<const Range> ranges) {
  if (axis == Mixture::Axis::kInputs) return {{0, config.experts, 0, 0}};
  std::vector<HeldRows> held;
  int64_t before = 0;
  for (const Range range : ranges) {
    held.push_back({range.begin, range.end, 0, before});
    before += range.size();
  }
  return held;
}

}  // namespace

Experts::Experts(LayerLoader load, const ExpertsConfig& config)
    : Experts(load, config, Parts::divide(load, config)) {}

Experts::Experts(LayerLoader& load, const ExpertsConfig& config, const Parts& parts)
    : activation_(config.activation),
      axis_(parts.axis),
      held_(held_experts(config, parts.axis, parts.partition[load.rank()])),
      reduction_(parts.dimension, parts.partition),
      hidden_(SumTree::whole(config.hidden)),
      gate_(load.stack("gate_proj", {config.experts, config.width, config.hidden},
                       parts.outputs(config))),
      up_(load.stack("up_proj", {config.experts, config.width, config.hidden},
                     parts.outputs(config))),
      down_(load.stack("down_proj", {config.experts, config.hidden, config.width},
                       parts.inputs(config, load.rank(), reduction_))),
      experts_(SumTree::whole(config.experts)) {
  if (config.bias == Bias::kNone) return;
  const Tensor biases = load.floats("down_proj.bias", {config.experts, config.hidden});
  if (load.device().kind != DeviceKind::kMeta) down_biases_ = load.prepared(transposed(biases));
}

UnfinishedSum Experts::unfinished(Context& context, const Tensor& x, const Routing& routing) const {
  Backend& backend = context.backend;
  const auto rows = backend.dispatch(routing, held_, context.await());
  JointProduct products[] = {product(context, gate_), product(context, up_)};
  backend.gather_matmul_each(x, products, *rows, hidden_);
  const Tensor gate = projected(context, products[0], gate_, *rows);
  const Tensor up = projected(context, products[1], up_, *rows);
  Tensor partial = backend.mix_matmul(backend.gated(gate, up, activation_), down_.weight, *rows,
                                      AxisSums{axis_, reduction_.part(context.group.rank())});
  UnfinishedSum mixed{reduction_, std::move(partial), std::nullopt};
  if (down_biases_) {
    const Tensor weights = backend.spread_weights(routing, down_biases_->shape()[1]);
    mixed.bias = backend.matmul(weights, *down_biases_, experts_);
  }
  return mixed;
}

JointProduct Experts::product(const Context& context, const StackedLinear& stack) const {
  return {stack.weight, stack.bias ? DType::kF32 : context.activations};
}

Tensor Experts::projected(Context& context, const JointProduct& product, const StackedLinear& stack,
                          const DispatchedRows& rows) const {
  if (!stack.bias) return *product.result;
  Backend& backend = context.backend;
  return backend.add(*product.result, backend.expert_rows(*stack.bias, rows))
      .to(context.activations);
}

}  // namespace strake
