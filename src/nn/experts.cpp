#include "nn/experts.h"

#include <limits>
#include <string>

#include "base/recycled.h"

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

// The rows of a mixture that a rank computes.
struct Rows {
  Recycled<int32_t> tokens;
  Recycled<int32_t> experts;  // counted among those that the rank holds
  Recycled<float> weights;

  void add(size_t token, int64_t expert, float weight) {
    tokens.push_back(static_cast<int32_t>(token));
    experts.push_back(static_cast<int32_t>(expert));
    weights.push_back(weight);
  }
};

// All of a routing whose expert is in the ranges.
Rows rows_of(const Routing& routing, std::span<const Range> ranges) {
  Rows rows;
  for (size_t i = 0; i < routing.experts.size(); ++i) {
    int64_t before = 0;
    for (const Range range : ranges) {
      const int64_t expert = routing.experts[i];
      if (range.begin <= expert && expert < range.end)
        rows.add(i / static_cast<size_t>(routing.chosen), expert - range.begin + before,
                 routing.weights[i]);
      before += range.size();
    }
  }
  return rows;
}

}  // namespace

Experts::Experts(LayerLoader load, const ExpertsConfig& config)
    : Experts(load, config, Parts::divide(load, config)) {}

Experts::Experts(LayerLoader& load, const ExpertsConfig& config, const Parts& parts)
    : activation_(config.activation),
      partition_(parts.partition),
      axis_(parts.axis),
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

Tensor Experts::forward(Context& context, const Tensor& x, const Routing& routing) const {
  const Range all{0, std::numeric_limits<int32_t>::max()};
  const Rows rows =
      rows_of(routing, axis_ == Mixture::Axis::kInputs ? std::span(&all, 1)
                                                       : partition_[context.group.rank()]);
  const GatherIndices indices{rows.tokens, rows.experts};
  const Tensor gate = project(context, x, gate_, indices);
  const Tensor up = project(context, x, up_, indices);
  const Mixture mixture{rows.experts, rows.tokens, rows.weights, routing.rows(), axis_};
  const Tensor partial =
      context.backend.mix_matmul(context.backend.gated(gate, up, activation_), down_.weight,
                                 mixture, reduction_.part(context.group.rank()));
  const Tensor mixed = reduction_.finish(context, partial);
  return down_biases_ ? context.backend.add(mixed, mixed_biases(context, routing)) : mixed;
}

Tensor Experts::project(Context& context, const Tensor& x, const StackedLinear& stack,
                        const GatherIndices& indices) const {
  const int root[] = {0};
  Tensor y = context.backend.gather_matmul(x, stack.weight, indices, {hidden_, root});
  y = y.reshape({y.shape()[1], y.shape()[2]});
  if (stack.bias) y = context.backend.add(y, context.backend.embedding(*stack.bias, indices.rhs));
  return y.to(context.activations);
}

Tensor Experts::mixed_biases(Context& context, const Routing& routing) const {
  const int64_t experts = down_biases_->shape()[1];
  Tensor weights = Tensor::zeros(DType::kF32, {routing.rows(), experts});
  const auto to = weights.mutable_data<float>();
  for (size_t i = 0; i < routing.experts.size(); ++i) {
    const auto row = static_cast<int64_t>(i) / routing.chosen;
    to[static_cast<size_t>(row * experts + routing.experts[i])] = routing.weights[i];
  }
  return context.backend.matmul(weights.at(context.backend.place()), *down_biases_, experts_);
}

}  // namespace strake
