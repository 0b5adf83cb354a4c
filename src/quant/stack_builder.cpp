#include "quant/stack_builder.h"

#include <algorithm>
#include <utility>

#include "base/fail.h"

namespace strake {

StackBuilder::StackBuilder(std::string module, int64_t count, int64_t rows)
    : module_(std::move(module)), count_(count), rows_(rows) {}

void StackBuilder::add(const Weight& matrix) {
  const std::optional<Format> format = matrix.format();
  if (!parts_.empty() && format != format_)
    fail(ErrorKind::kCheckpoint, "{}: experts of one format expected, found {} and {}", module_,
         format_ ? format_->to_string() : "none", format ? format->to_string() : "none");
  format_ = format;
  if (matrix.dense() != nullptr) {
    place(0, *matrix.dense());
  } else {
    place(0, matrix.quantized()->codes());
    place(1, matrix.quantized()->scales());
    if (matrix.quantized()->biases()) place(2, *matrix.quantized()->biases());
  }
  if (matrix.shape()[0] == rows_) ++placed_;
}

Weight StackBuilder::finish() && {
  if (!format_) return std::move(parts_.at(0));
  QuantizedParts parts{parts_.at(0), parts_.at(1)};
  if (parts_.size() > 2) parts.biases = parts_[2];
  return QuantizedMatrix::make(module_, *format_, std::move(parts));
}

void StackBuilder::place(size_t part, const Tensor& tensor) {
  if (part == parts_.size())
    parts_.push_back(
        Tensor::empty(tensor.dtype(), {count_, rows_, tensor.shape()[-1]}, tensor.device()));
  Tensor& stack = parts_[part];
  if (stack.dtype() != tensor.dtype())
    fail(ErrorKind::kCheckpoint, "{}: {} of every expert expected, found {}", module_,
         to_string(stack.dtype()), to_string(tensor.dtype()));
  if (tensor.device().kind != DeviceKind::kMeta)
    std::ranges::copy(tensor.bytes(), stack.mutable_bytes().begin() + placed_ * tensor.nbytes());
}

}  // namespace strake
