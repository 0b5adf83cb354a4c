// What a layer multiplies with: a dense tensor or a quantized matrix.
#pragma once

#include <optional>
#include <variant>

#include "strake/quant/quantized_matrix.h"

namespace strake {

// Layers and models hold weights and never ask which kind: only the ops do.
class Weight {
 public:
  Weight(Tensor dense);               // NOLINT: floating [out, in] or [experts, out, in]
  Weight(QuantizedMatrix quantized);  // NOLINT

  const Shape& shape() const;  // logical
  Device device() const;
  int64_t nbytes() const;
  // The format, or nothing for a dense weight.
  std::optional<Format> format() const;

  const Tensor* dense() const { return std::get_if<Tensor>(&value_); }
  const QuantizedMatrix* quantized() const { return std::get_if<QuantizedMatrix>(&value_); }

  Weight slice(int axis, int64_t begin, int64_t end) const;

 private:
  std::variant<Tensor, QuantizedMatrix> value_;
};

}  // namespace strake
