// What products are told, from tensors and indices of the host.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include "strake/ops/sum_tree.h"
#include "strake/tensor/tensor.h"

namespace strake::cuda {

// Tokens of a mixture that one launch takes.
inline constexpr int64_t kFewTokens = 8;

inline float* floats(Tensor& tensor) {
  return reinterpret_cast<float*>(tensor.mutable_bytes().data());
}
inline const float* floats(const Tensor& tensor) {
  return reinterpret_cast<const float*>(tensor.bytes().data());
}
inline const int32_t* integers(const Tensor& tensor) {
  return reinterpret_cast<const int32_t*>(tensor.bytes().data());
}

inline int32_t* integers(Tensor& tensor) {
  return reinterpret_cast<int32_t*>(tensor.mutable_bytes().data());
}

inline int64_t nodes_of(const PartialSums& sums) { return std::ssize(sums.nodes); }

// Rows by the matrix that they multiply, in their order.
struct ByMatrix {
  std::vector<int32_t> order;             // rows
  std::vector<std::pair<int, int>> runs;  // matrix, rows

  // Without the rows of negative matrices, which are another rank's.
  explicit ByMatrix(std::span<const int32_t> matrices) : order(matrices.size()) {
    std::iota(order.begin(), order.end(), 0);
    std::erase_if(order, [&](int32_t row) { return matrices[row] < 0; });
    std::ranges::stable_sort(order, {}, [&](int32_t row) { return matrices[row]; });
    for (const int32_t row : order) {
      if (runs.empty() || runs.back().first != matrices[row]) runs.emplace_back(matrices[row], 0);
      ++runs.back().second;
    }
  }
};

template <class T>
std::vector<T> in_order(std::span<const T> values, std::span<const int32_t> order) {
  std::vector<T> result;
  for (const int32_t row : order) result.push_back(values[static_cast<size_t>(row)]);
  return result;
}

}  // namespace strake::cuda
