// What a layer multiplies with: a dense tensor or a quantized matrix.
#pragma once

#include <memory>
#include <optional>
#include <variant>

#include "strake/quant/quantized_matrix.h"

namespace strake {

// A weight in a layout that only the backend knows that made it (Backend::prepare).
class PreparedWeight {
 public:
  virtual ~PreparedWeight() = default;
  virtual const Shape& shape() const = 0;  // logical
  virtual std::optional<Format> format() const = 0;
  virtual Device device() const = 0;
  virtual int64_t nbytes() const = 0;  // of the layout
};

// Layers and models hold weights and never ask which kind: only the ops do.
class Weight {
 public:
  Weight(Tensor dense);               // NOLINT: floating [out, in] or [experts, out, in]
  Weight(QuantizedMatrix quantized);  // NOLINT
  Weight(std::shared_ptr<const PreparedWeight> prepared);  // NOLINT: not null

  const Shape& shape() const;  // logical
  Device device() const;
  int64_t nbytes() const;
  // The format, or nothing for a dense weight.
  std::optional<Format> format() const;

  const Tensor* dense() const { return std::get_if<Tensor>(&value_); }
  const QuantizedMatrix* quantized() const { return std::get_if<QuantizedMatrix>(&value_); }
  const PreparedWeight* prepared() const;

  // Throws Error(kUsage) for a prepared weight.
  Weight slice(int axis, int64_t begin, int64_t end) const;

 private:
  std::variant<Tensor, QuantizedMatrix, std::shared_ptr<const PreparedWeight>> value_;
};

}  // namespace strake
