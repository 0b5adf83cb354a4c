// How messages show shapes and tensors: "[2, 3]", "F32 [2, 3]".
#pragma once

#include <fmt/format.h>

#include "strake/tensor/tensor.h"

template <>
struct fmt::formatter<strake::Shape> : fmt::formatter<std::string_view> {
  auto format(const strake::Shape& shape, fmt::format_context& context) const {
    return fmt::format_to(context.out(), "[{}]", fmt::join(shape.extents(), ", "));
  }
};

template <>
struct fmt::formatter<strake::Tensor> : fmt::formatter<std::string_view> {
  auto format(const strake::Tensor& tensor, fmt::format_context& context) const {
    return fmt::format_to(context.out(), "{} {}", to_string(tensor.dtype()), tensor.shape());
  }
};
