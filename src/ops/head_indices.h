// Heads as rows of a product with a matrix each.
#pragma once

#include <cstdint>

#include "base/recycled.h"
#include "strake/ops/mixture.h"

namespace strake {

// Of [rows, heads, D] as [rows * heads, D].
class HeadIndices {
 public:
  HeadIndices(int64_t rows, int64_t heads) {
    for (int64_t i = 0; i < rows * heads; ++i) {
      items_.push_back(static_cast<int32_t>(i));
      matrices_.push_back(static_cast<int32_t>(i % heads));
    }
  }
  GatherIndices indices() const { return {items_, matrices_, GatherIndices::Use::kAgain}; }

 private:
  Recycled<int32_t> items_, matrices_;
};

}  // namespace strake
