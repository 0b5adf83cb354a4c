// Linear layers, whole and divided over ranks.
#pragma once

#include <optional>
#include <string>

#include "strake/nn/context.h"
#include "strake/nn/reduction.h"
#include "strake/quant/weight.h"
#include "strake/shard/partition.h"

namespace strake {

// How a linear layer is divided, by MLX's names.
enum class Sharding {
  kNone,          // every rank holds the whole layer
  kAllToSharded,  // split-out: whole input, each rank computes its outputs
  kShardedToAll,  // split-in: each rank has its inputs, partial sums are reduced over ranks
};

// y = x W^T + bias. The bias is added once, after the reduction. The output has the same bits for
// every number of ranks.
class Linear {
 public:
  // A whole layer: weight [out, in], bias floating [out]. Throws Error(kUsage) when they do not
  // fit.
  explicit Linear(Weight weight, std::optional<Tensor> bias = std::nullopt);
  // A rank's part, as read from a checkpoint: weight [its outputs, in], bias [its outputs].
  static Linear all_to_sharded(Weight weight, std::optional<Tensor> bias, Partition outputs);
  // A rank's part: weight [out, its inputs], bias [out] whole.
  static Linear sharded_to_all(Weight weight, std::optional<Tensor> bias, const Dimension& inputs,
                               Partition partition);

  // x floating [rows, inputs of this rank] -> [rows, outputs of this rank], sums in float32 and
  // rounded once to `dtype`.
  Tensor forward(Context& context, const Tensor& x, DType dtype) const;
  // The same in float32 of a layer whose inputs are divided, before ranks exchange anything.
  UnfinishedSum unfinished(Context& context, const Tensor& x) const;
  // forward() for several layers with one x, whose inputs are not divided: what the backend makes
  // together with others', by matmul_each() along product_tree(), and y of what came of it.
  JointProduct product(DType dtype) const;
  const SumTree& product_tree() const { return reduction_.part(0).tree; }
  Tensor finish(Context& context, const JointProduct& product, DType dtype) const;

  Sharding sharding() const { return sharding_; }
  const Weight& weight() const { return weight_; }
  const std::optional<Tensor>& bias() const { return bias_; }
  int64_t input_dims() const;   // of the whole layer
  int64_t output_dims() const;  // of the whole layer
  // "QuantizedAllToShardedLinear(input_dims=512, output_dims=1024, bias=false, group_size=32,
  // bits=8, mode=mxfp8)": dimensions are those of the whole layer.
  std::string describe() const;

 private:
  Linear(Sharding sharding, Weight weight, std::optional<Tensor> bias,
         std::optional<Partition> partition, Reduction reduction);

  Sharding sharding_;
  Weight weight_;
  std::optional<Tensor> bias_;
  std::optional<Partition> partition_;  // of the outputs (split-out) or inputs (split-in)
  Reduction reduction_;
};

// Elements along a weight's inputs that ranks never cut: its quantization group, or for a dense
// weight of `inputs` inputs the largest power of two up to 32 that divides them.
int64_t input_unit(const std::optional<Format>& format, int64_t inputs);

// This rank's part of a whole layer. Segments are divided each for itself; on the packed axis they
// must be whole groups. The original is untouched. Throws Error(kUsage): a layer that is divided
// already, ranks or segments that cannot work.
Linear shard_linear(const Linear& layer, Sharding sharding, const Group& group,
                    const Segments& segments = Segments::count(1));

}  // namespace strake
