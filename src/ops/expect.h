// What the operations check of their arguments.
#pragma once

#include <algorithm>
#include <span>
#include <string_view>
#include <utility>

#include "base/fail.h"
#include "strake/ops/sum_tree.h"
#include "strake/quant/weight.h"
#include "tensor/format.h"

namespace strake {

// Nothing is formatted where it holds.
template <class... Args>
void expect(bool holds, std::string_view op, fmt::format_string<Args...> message, Args&&... args) {
  if (!holds)
    fail(ErrorKind::kUsage, "{}: {}", op, fmt::format(message, std::forward<Args>(args)...));
}

inline void expect_dtype(std::string_view op, std::string_view name, const Tensor& tensor,
                         DType dtype, int rank) {
  expect(tensor.dtype() == dtype && tensor.shape().rank() == rank, op,
         "{} of {} with {} axes expected, found {}", name, to_string(dtype), rank, tensor);
}

inline void expect_floating(std::string_view op, std::string_view name, const Tensor& tensor,
                            int rank) {
  expect(is_floating(tensor.dtype()) && tensor.shape().rank() == rank, op,
         "floating {} with {} axes expected, found {}", name, rank, tensor);
}

inline void expect_result(std::string_view op, DType dtype) {
  expect(is_floating(dtype), op, "a floating result expected, found {}", to_string(dtype));
}

// The columns that the nodes stand for, which the operands must have.
inline int64_t columns(std::string_view op, const PartialSums& sums) {
  const auto nodes = sums.tree.nodes();
  int64_t columns = 0;
  for (const int node : sums.nodes) {
    expect(node >= 0 && node < std::ssize(nodes), op, "nodes of a tree of {} expected, found {}",
           nodes.size(), node);
    columns += sums.tree.node(node).end - sums.tree.node(node).begin;
  }
  return columns;
}

inline void check_indices(std::string_view op, std::string_view name,
                          std::span<const int32_t> indices, int64_t limit) {
  for (const int32_t index : indices)
    expect(index >= 0 && index < limit, op, "{} below {} expected, found {}", name, limit, index);
}

inline void check_operands(std::string_view op, const Tensor& x, const Weight& w, int weight_rank) {
  expect(is_floating(x.dtype()) && x.shape().rank() == 2, op,
         "floating x [rows, in] expected, found {}", x);
  expect(w.shape().rank() == weight_rank, op, "a weight with {} axes expected, found {}",
         weight_rank, w.shape());
  expect(w.shape()[-1] == x.shape()[1], op, "a weight of {} inputs, as x has expected, found {}",
         x.shape()[1], w.shape());
}

inline void check_product(std::string_view op, const Tensor& x, const Weight& w, int weight_rank,
                          const PartialSums& sums) {
  check_operands(op, x, w, weight_rank);
  const int64_t summed = columns(op, sums);
  expect(summed == x.shape()[1], op, "sums over {} inputs, as x has expected, found {}",
         x.shape()[1], summed);
}

}  // namespace strake
