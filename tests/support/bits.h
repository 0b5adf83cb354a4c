// Tensors that must be equal bit for bit.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "strake/tensor/tensor.h"

namespace strake {

// Names the first element that differs.
inline testing::AssertionResult same_bits(const Tensor& found, const Tensor& expected) {
  if (found.dtype() != expected.dtype() || found.shape() != expected.shape())
    return testing::AssertionFailure()
           << to_string(expected.dtype()) << " " << expected.shape().to_string()
           << " expected, found " << to_string(found.dtype()) << " " << found.shape().to_string();
  const auto a = found.bytes();
  const auto b = expected.bytes();
  const auto at = std::mismatch(a.begin(), a.end(), b.begin()).first - a.begin();
  if (at == std::ssize(a)) return testing::AssertionSuccess();
  return testing::AssertionFailure()
         << "element " << at / size_of(found.dtype()) << " of " << found.elements() << " differs";
}

}  // namespace strake
