#include "strake/nn/linear.h"

#include <string_view>
#include <utility>
#include <vector>

#include "base/fail.h"

namespace strake {
namespace {

std::string_view class_prefix(Sharding sharding) {
  switch (sharding) {
    case Sharding::kNone:
      return "";
    case Sharding::kAllToSharded:
      return "AllToSharded";
    case Sharding::kShardedToAll:
      return "ShardedToAll";
  }
  return "";
}

// The parts of `whole` along an axis that the ranges name, joined.
template <class Array>
Array cut_and_join(const Array& whole, int axis, std::span<const Range> ranges) {
  if (ranges.empty()) return whole.slice(axis, 0, 0);
  std::vector<Array> pieces;
  for (const Range range : ranges) pieces.push_back(whole.slice(axis, range.begin, range.end));
  return pieces.size() == 1 ? pieces.front() : concatenate(pieces, axis);
}

Weight cut_and_join(const Weight& whole, int axis, std::span<const Range> ranges) {
  if (whole.dense() != nullptr) return cut_and_join(*whole.dense(), axis, ranges);
  return cut_and_join(*whole.quantized(), axis, ranges);
}

}  // namespace

Linear::Linear(Sharding sharding, Weight weight, std::optional<Tensor> bias,
               std::optional<Partition> partition, Reduction reduction)
    : sharding_(sharding),
      weight_(std::move(weight)),
      bias_(std::move(bias)),
      partition_(std::move(partition)),
      reduction_(std::move(reduction)) {
  if (weight_.shape().rank() != 2)
    fail(ErrorKind::kUsage, "linear: a weight [out, in] expected, found {}",
         weight_.shape().to_string());
  if (!bias_) return;
  if (!is_floating(bias_->dtype()) || bias_->shape() != Shape{weight_.shape()[0]})
    fail(ErrorKind::kUsage, "linear: a floating bias [{}] expected, found {} {}",
         weight_.shape()[0], to_string(bias_->dtype()), bias_->shape().to_string());
  if (bias_->device().kind != DeviceKind::kMeta) bias_ = bias_->to(DType::kF32);
}

Linear::Linear(Weight weight, std::optional<Tensor> bias)
    : Linear(Sharding::kNone, weight, std::move(bias), std::nullopt,
             Reduction::whole(weight.shape()[-1])) {}

Linear Linear::all_to_sharded(Weight weight, std::optional<Tensor> bias, Partition outputs) {
  auto reduction = Reduction::whole(weight.shape()[-1]);
  return {Sharding::kAllToSharded, std::move(weight), std::move(bias), std::move(outputs),
          std::move(reduction)};
}

Linear Linear::sharded_to_all(Weight weight, std::optional<Tensor> bias, const Dimension& inputs,
                              Partition partition) {
  Reduction reduction(inputs, partition);
  return {Sharding::kShardedToAll, std::move(weight), std::move(bias), std::move(partition),
          std::move(reduction)};
}

Tensor Linear::forward(Context& context, const Tensor& x, DType dtype) const {
  if (sharding_ == Sharding::kShardedToAll)
    return strake::finish(context, unfinished(context, x)).to(dtype);
  JointProduct alone[] = {product(dtype)};
  context.backend.matmul_each(x, alone, product_tree());
  return finish(context, alone[0], dtype);
}

UnfinishedSum Linear::unfinished(Context& context, const Tensor& x) const {
  if (sharding_ != Sharding::kShardedToAll)
    fail(ErrorKind::kUsage, "{}: a layer with divided inputs expected", describe());
  if (partition_->ranks() != context.group.size())
    fail(ErrorKind::kUsage, "{}: divided over {} ranks, but the group has {}", describe(),
         partition_->ranks(), context.group.size());
  const PartialSums sums = reduction_.part(context.group.rank());
  return {reduction_, context.backend.matmul(x, weight_, sums), bias_};
}

JointProduct Linear::product(DType dtype) const {
  if (sharding_ == Sharding::kShardedToAll)
    fail(ErrorKind::kUsage, "{}: a layer with whole inputs expected", describe());
  return {weight_, bias_ ? DType::kF32 : dtype};
}

Tensor Linear::finish(Context& context, const JointProduct& product, DType dtype) const {
  const Tensor& y = *product.result;
  return (bias_ ? context.backend.add(y, *bias_) : y).to(dtype);
}

int64_t Linear::input_dims() const {
  return sharding_ == Sharding::kShardedToAll ? partition_->extent() : weight_.shape()[1];
}

int64_t Linear::output_dims() const {
  return sharding_ == Sharding::kAllToSharded ? partition_->extent() : weight_.shape()[0];
}

std::string Linear::describe() const {
  const auto format = weight_.format();
  return fmt::format("{}{}Linear(input_dims={}, output_dims={}, bias={}{})",
                     format ? "Quantized" : "", class_prefix(sharding_), input_dims(),
                     output_dims(), bias_.has_value(),
                     format ? fmt::format(", group_size={}, bits={}, mode={}", format->group_size(),
                                          format->bits(), format->mode_name())
                            : "");
}

int64_t input_unit(const std::optional<Format>& format, int64_t inputs) {
  if (format) return format->group_size();
  int64_t unit = 32;
  while (inputs % unit != 0) unit /= 2;
  return unit;
}

Linear shard_linear(const Linear& layer, Sharding sharding, const Group& group,
                    const Segments& segments) {
  if (layer.sharding() != Sharding::kNone)
    fail(ErrorKind::kUsage, "shard_linear: a whole layer expected, found {}", layer.describe());
  const Shares shares = Shares::equal(group.size());
  const Weight& weight = layer.weight();
  switch (sharding) {
    case Sharding::kNone:
      return layer;
    case Sharding::kAllToSharded: {
      const Dimension outputs("shard_linear: outputs", layer.output_dims(), 1, segments);
      const Partition partition = Partition::divide(outputs, shares);
      const auto ranges = partition[group.rank()];
      std::optional<Tensor> bias = layer.bias();
      if (bias) bias = cut_and_join(*bias, 0, ranges);
      return Linear::all_to_sharded(cut_and_join(weight, 0, ranges), std::move(bias), partition);
    }
    case Sharding::kShardedToAll: {
      const int64_t in = layer.input_dims();
      // A dense weight can be cut anywhere, so segments decide its unit.
      const int64_t unit = weight.format() ? weight.format()->group_size() : 1;
      const Dimension inputs("shard_linear: inputs", in, unit, segments);
      Partition partition = Partition::divide(inputs, shares);
      Weight part = cut_and_join(weight, 1, partition[group.rank()]);
      return Linear::sharded_to_all(std::move(part), layer.bias(), inputs, std::move(partition));
    }
  }
  fail(ErrorKind::kInternal, "shard_linear: no such sharding");
}

}  // namespace strake
