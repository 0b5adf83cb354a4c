#include "strake/quant/weight.h"

#include <utility>

#include "base/fail.h"

namespace strake {

Weight::Weight(Tensor dense) : value_(std::move(dense)) {
  const Tensor& tensor = *this->dense();
  if (!is_floating(tensor.dtype()))
    fail(
        ErrorKind::kUsage,
        "a dense weight is floating, found {} {}: packed codes need their format (QuantizedMatrix)",
        to_string(tensor.dtype()), tensor.shape().to_string());
}

Weight::Weight(QuantizedMatrix quantized) : value_(std::move(quantized)) {}

Weight::Weight(std::shared_ptr<const PreparedWeight> prepared) : value_(std::move(prepared)) {}

const PreparedWeight* Weight::prepared() const {
  const auto* pointer = std::get_if<std::shared_ptr<const PreparedWeight>>(&value_);
  return pointer == nullptr ? nullptr : pointer->get();
}

const Shape& Weight::shape() const {
  if (prepared() != nullptr) return prepared()->shape();
  return dense() != nullptr ? dense()->shape() : quantized()->shape();
}

Device Weight::device() const {
  if (prepared() != nullptr) return prepared()->device();
  return dense() != nullptr ? dense()->device() : quantized()->device();
}

int64_t Weight::nbytes() const {
  if (prepared() != nullptr) return prepared()->nbytes();
  return dense() != nullptr ? dense()->nbytes() : quantized()->nbytes();
}

std::optional<Format> Weight::format() const {
  if (prepared() != nullptr) return prepared()->format();
  if (quantized() == nullptr) return std::nullopt;
  return quantized()->format();
}

Weight Weight::slice(int axis, int64_t begin, int64_t end) const {
  if (prepared() != nullptr)
    fail(ErrorKind::kUsage, "a weight {} that is prepared for a backend cannot be sliced",
         shape().to_string());
  if (dense() != nullptr) return dense()->slice(axis, begin, end);
  return quantized()->slice(axis, begin, end);
}

}  // namespace strake
