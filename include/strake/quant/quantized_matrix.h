// A quantized weight: its codes, its scales and the format that gives them meaning, as one value.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "strake/quant/format.h"
#include "strake/tensor/tensor.h"

namespace strake {

// The tensors of a quantized weight, as a checkpoint stores them.
struct QuantizedParts {
  Tensor codes;                           // uint32 [..., out, in * bits / 32]
  Tensor scales;                          // [..., out, in / group_size]
  std::optional<Tensor> biases = {};      // affine only: dtype and shape of scales
  std::optional<float> tensor_amax = {};  // nvfp4 only: values are multiplied by amax / 2688
};

// A matrix [out, in], or a stack [experts, out, in], quantized along `in`. Each row is one
// least-significant-bit-first stream of codes. Valid by construction: parts and format always
// agree, and there is no way to reach the parts without the format.
class QuantizedMatrix {
 public:
  // `name` stands in messages. Throws Error(kCheckpoint): dtypes, shapes, biases present or absent
  // against the mode.
  static QuantizedMatrix make(std::string_view name, Format format, QuantizedParts parts);

  Format format() const { return format_; }
  const Shape& shape() const { return shape_; }  // logical: [out, in] or [experts, out, in]
  const Tensor& codes() const { return parts_.codes; }
  const Tensor& scales() const { return parts_.scales; }
  const std::optional<Tensor>& biases() const { return parts_.biases; }
  // nvfp4's factor for the whole tensor, amax / 2688; 1 where there is none.
  float tensor_scale() const;
  const std::optional<float>& tensor_amax() const { return parts_.tensor_amax; }
  Device device() const { return parts_.codes.device(); }
  int64_t nbytes() const;

  // Throws Error(kCheckpoint) that names `name` and the first scale (or bias) that is not a finite
  // number: every output that it touches would be NaN. Checkpoints are held to this.
  void require_finite_scales(std::string_view name) const;

  // Elements [begin, end) of an axis of shape(), in the same format. On the last axis both must
  // be whole groups. Throws Error(kUsage) otherwise.
  QuantizedMatrix slice(int axis, int64_t begin, int64_t end) const;

 private:
  QuantizedMatrix(Format format, Shape shape, QuantizedParts parts);

  Format format_;
  Shape shape_;
  QuantizedParts parts_;
};

// Joins along an axis of shape(). Throws Error(kUsage) when formats or shapes differ.
QuantizedMatrix concatenate(std::span<const QuantizedMatrix> parts, int axis);

}  // namespace strake
