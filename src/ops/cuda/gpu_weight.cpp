#include "ops/cuda/gpu_weight.h"

#include "base/fail.h"
#include "ops/cuda/leaf_steps.h"
#include "ops/cuda/pack.h"
#include "ops/cuda/sum_orders.h"

namespace strake::cuda {
namespace {

bool is_divided_tree(const SumTree& tree) { return tree.node(0).left >= 0; }

int64_t unit_of(const Weight& weight) {
  const auto format = weight.format();
  return format ? format->group_size() : 1;
}

SumTree tree_of(const Weight& weight, const SumTree& tree) {
  return is_divided_tree(tree) ? tree : parallel_tree(weight.shape()[-1], unit_of(weight));
}

Tensor dense_on(const Weight& weight, const Place& place) {
  return weight.dense() != nullptr ? weight.dense()->at(place)
                                   : weight.quantized()->codes().at(place);
}

}  // namespace

GpuWeight::GpuWeight(const Weight& weight, const PartialSums& sums, const Place& place,
                     cudaStream_t stream)
    : shape_(weight.shape()),
      format_(weight.format()),
      divided_(is_divided_tree(sums.tree)),
      tree_(tree_of(weight, sums.tree)),
      nodes_(sums.nodes.begin(), sums.nodes.end()),
      codes_(dense_on(weight, place)) {
  const bool packs = weight.quantized() != nullptr || codes_.dtype() == DType::kBF16;
  if (packs && shape_.elements() > 0) pack_matrices(weight, place, stream);
}

void GpuWeight::pack_matrices(const Weight& weight, const Place& place, cudaStream_t stream) {
  PackedFormat format = kPackedDense;
  DType dtype = codes_.dtype();
  float tensor_scale = 1;
  Tensor scales = codes_, biases = codes_;
  if (const QuantizedMatrix* const matrix = weight.quantized()) {
    scales = matrix->scales().at(place);
    if (matrix->biases()) biases = matrix->biases()->at(place);
    dtype = matrix->scales().dtype();
    format = packed_format(matrix->format(), dtype);
    tensor_scale = matrix->tensor_scale();
  }
  const PackedShape shape{format, static_cast<int32_t>(shape_[-2]), leaves_of(this->sums())};
  Tensor packed_codes = Tensor::empty(DType::kU8, {matrices() * shape.code_bytes()}, place);
  Tensor packed_scales = Tensor::empty(DType::kU8, {matrices() * shape.scale_bytes()}, place);
  pack(shape,
       {codes_.bytes().data(), scales.bytes().data(), biases.bytes().data(),
        matrices() * shape_[-2], shape_[-2]},
       {packed_codes.mutable_bytes().data(), packed_scales.mutable_bytes().data()}, stream);
  packed_ = PackedWeight{shape, packed_codes.bytes().data(), packed_scales.bytes().data(), dtype,
                         tensor_scale};
  codes_ = std::move(packed_codes);
  scales_ = std::move(packed_scales);
}

PackedWeight GpuWeight::packed(int64_t index) const {
  PackedWeight weight = packed_.value();
  weight.codes = static_cast<const std::byte*>(weight.codes) + index * weight.shape.code_bytes();
  weight.scales = static_cast<const std::byte*>(weight.scales) + index * weight.shape.scale_bytes();
  return weight;
}

const GpuWeight& as_gpu_weight(const Weight& weight) {
  const auto* const prepared = dynamic_cast<const GpuWeight*>(weight.prepared());
  if (prepared == nullptr)
    fail(ErrorKind::kUsage, "weight {}: prepared for cuda expected", weight.shape().to_string());
  return *prepared;
}

}  // namespace strake::cuda
