#include "strake/ops/backend.h"

#include <fmt/ranges.h>

#include <utility>
#include <vector>

#include "base/recycled.h"
#include "ops/backends.h"
#include "ops/expect.h"
#include "ops/head_indices.h"

namespace strake {
namespace {

// Whether the node's elements are those of the nodes that are there.
bool is_covered(const SumTree& tree, int index, const Recycled<bool>& there) {
  if (there[static_cast<size_t>(index)]) return true;
  const SumTree::Node& node = tree.node(index);
  return node.left >= 0 && is_covered(tree, node.left, there) &&
         is_covered(tree, node.right, there);
}

// Whether the nodes' elements are all of the tree, each once.
bool is_cover(const PartialSums& sums) {
  Recycled<bool> there(sums.tree.nodes().size(), false);
  for (const int node : sums.nodes) there[static_cast<size_t>(node)] = true;
  return is_covered(sums.tree, 0, there);
}

void check_rms_norm(const Tensor& x, const Tensor& w, DType dtype) {
  expect_dtype("rms_norm", "x", x, DType::kF32, 2);
  expect(is_floating(w.dtype()) && w.shape() == Shape{x.shape()[1]}, "rms_norm",
         "a floating weight [{}] expected, found {}", x.shape()[1], w);
  expect_result("rms_norm", dtype);
}

}  // namespace

Weight Backend::prepare(Weight w, const PartialSums& sums) {
  int64_t inputs = 0;
  for (const int node : sums.nodes) inputs += sums.tree.node(node).end - sums.tree.node(node).begin;
  expect(inputs == w.shape()[-1], "prepare", "sums of {} inputs expected, found {}", w.shape()[-1],
         inputs);
  return do_prepare(std::move(w), sums);
}

Weight Backend::prepare(Weight w) {
  const SumTree tree = SumTree::whole(w.shape()[-1]);
  const int root[] = {0};
  return prepare(std::move(w), {tree, root});
}

Tensor Backend::matmul(const Tensor& x, const Weight& w, const PartialSums& sums) {
  check_product("matmul", x, w, 2, sums);
  return do_matmul(x, w, sums);
}

Tensor Backend::matmul(const Tensor& x, const Weight& w, const SumTree& tree, DType dtype) {
  const int root[] = {0};
  check_product("matmul", x, w, 2, PartialSums{tree, root});
  expect_result("matmul", dtype);
  return do_matmul_to(x, w, tree, dtype);
}

void Backend::matmul_each(const Tensor& x, std::span<JointProduct> products, const SumTree& tree) {
  const int root[] = {0};
  for (const JointProduct& product : products) {
    check_product("matmul", x, product.weight, 2, PartialSums{tree, root});
    expect_result("matmul", product.dtype);
  }
  do_matmul_each(x, products, tree);
}

void Backend::do_matmul_each(const Tensor& x, std::span<JointProduct> products,
                             const SumTree& tree) {
  for (JointProduct& product : products)
    product.result = do_matmul_to(x, product.weight, tree, product.dtype);
}

Tensor Backend::do_matmul_to(const Tensor& x, const Weight& w, const SumTree& tree, DType dtype) {
  const int root[] = {0};
  const Tensor y = do_matmul(x, w, PartialSums{tree, root});
  return y.reshape(Shape{y.shape()[1], y.shape()[2]}).to(dtype);
}

Tensor Backend::head_matmul(const Tensor& x, const Weight& w, const SumTree& tree, DType dtype) {
  expect_floating("head_matmul", "x", x, 3);
  const Shape& shape = w.shape();
  expect(shape.rank() == 3 && shape[0] == x.shape()[1] && shape[2] <= x.shape()[2], "head_matmul",
         "a weight [{}, N, up to {}] expected, found {}", x.shape()[1], x.shape()[2], shape);
  expect(tree.extent() == shape[2], "head_matmul", "sums over {} inputs expected, found {}",
         shape[2], tree.extent());
  expect_result("head_matmul", dtype);
  return do_head_matmul(x, w, tree, dtype);
}

Tensor Backend::do_head_matmul(const Tensor& x, const Weight& w, const SumTree& tree, DType dtype) {
  const int64_t rows = x.shape()[0], heads = x.shape()[1], inputs = w.shape()[2];
  const HeadIndices each(rows, heads);
  const Tensor flat = x.slice(2, 0, inputs).reshape({rows * heads, inputs});
  return do_gather_matmul_to(flat, w, each.indices(), tree, dtype)
      .reshape({rows, heads, w.shape()[1]});
}

Tensor Backend::transpose(const Weight& w, int64_t first, int64_t count) {
  expect(w.shape().rank() == 3, "transpose", "a weight with 3 axes expected, found {}", w.shape());
  const int64_t matrices = w.shape()[0];
  expect(first >= 0 && count >= 0 && first <= matrices && count <= matrices - first, "transpose",
         "some of {} matrices expected, found {} from {} on", matrices, count, first);
  return do_transpose(w, first, count);
}

Tensor Backend::finish_sums(const Tensor& pieces, const PartialSums& sums) {
  expect(pieces.dtype() == DType::kF32 && pieces.shape().rank() >= 1 &&
             pieces.shape()[0] == static_cast<int64_t>(sums.nodes.size()),
         "finish_sums", "F32 pieces of {} nodes expected, found {}", sums.nodes.size(), pieces);
  const int64_t summed = columns("finish_sums", sums);
  expect(summed == sums.tree.extent() && is_cover(sums), "finish_sums",
         "nodes that cover {} elements once expected, found {} of {} elements", sums.tree.extent(),
         sums.nodes.size(), summed);
  return do_finish_sums(pieces, sums);
}

Tensor Backend::rms_norm(const Tensor& x, const Tensor& w, float eps, DType dtype) {
  check_rms_norm(x, w, dtype);
  return do_rms_norm(x, w, eps, dtype);
}

NormedSum Backend::add_rms_norm(const Tensor& x, const Tensor& y, const RmsParameters& norm,
                                DType dtype) {
  check_rms_norm(x, norm.weight, dtype);
  expect(y.dtype() == DType::kF32 && y.shape() == x.shape(), "add", "F32 {} expected, found {}",
         x.shape(), y);
  return do_add_rms_norm(x, y, norm, dtype);
}

NormedSum Backend::do_add_rms_norm(const Tensor& x, const Tensor& y, const RmsParameters& norm,
                                   DType dtype) {
  const Tensor sum = do_add(x, y);
  return {sum, do_rms_norm(sum, norm.weight, norm.eps, dtype)};
}

Tensor Backend::layer_norm(const Tensor& x, const NormParameters& norm, DType dtype) {
  expect_dtype("layer_norm", "x", x, DType::kF32, 2);
  for (const Tensor* part : {&norm.weight, &norm.bias})
    expect(is_floating(part->dtype()) && part->shape() == Shape{x.shape()[1]}, "layer_norm",
           "floating weight and bias [{}] expected, found {}", x.shape()[1], *part);
  expect_result("layer_norm", dtype);
  return do_layer_norm(x, norm, dtype);
}

Tensor Backend::sum_squares(const Tensor& x) {
  expect_dtype("sum_squares", "x", x, DType::kF32, 2);
  return do_sum_squares(x);
}

Tensor Backend::rms_norm_part(const Tensor& x, const Tensor& w, const RowSquares& squares,
                              DType dtype) {
  expect_dtype("rms_norm_part", "x", x, DType::kF32, 2);
  expect(is_floating(w.dtype()) && w.shape() == Shape{x.shape()[1]}, "rms_norm_part",
         "a floating weight [{}] expected, found {}", x.shape()[1], w);
  expect_dtype("rms_norm_part", "squares", squares.sums, DType::kF32, 2);
  expect(squares.sums.shape()[0] == x.shape()[0] && squares.width >= 1, "rms_norm_part",
         "squares of {} rows expected, found {}", x.shape()[0], squares.sums);
  expect_result("rms_norm_part", dtype);
  return do_rms_norm_part(x, w, squares, dtype);
}

Tensor Backend::gated(const Tensor& gate, const Tensor& up, Activation activation) {
  expect_floating("gated", "gate", gate, 2);
  expect(up.dtype() == gate.dtype() && up.shape() == gate.shape(), "gated",
         "up like gate, {} expected, found {}", gate, up);
  return do_gated(gate, up, activation);
}

Tensor Backend::add(const Tensor& x, const Tensor& y) {
  expect(x.dtype() == DType::kF32 && y.dtype() == DType::kF32, "add",
         "F32 operands expected, found {} and {}", x, y);
  expect(x.shape() == y.shape() ||
             (y.shape().rank() == 1 && x.shape().rank() >= 1 && x.shape()[-1] == y.shape()[0]),
         "add", "equal shapes, or one row to add to each expected, found {} and {}", x, y);
  return do_add(x, y);
}

Tensor Backend::scale(const Tensor& x, float factor) {
  expect(x.dtype() == DType::kF32, "scale", "F32 x expected, found {}", x);
  return do_scale(x, factor);
}

namespace {

struct BackendEntry {
  std::string_view name;
  std::unique_ptr<Backend> (*make)(const BackendOptions&);
  std::vector<std::string_view> (*paths)();
  int (*most_parts)();
  std::vector<std::string> (*devices)();
};

constexpr BackendEntry kBackends[] = {
    {"cpu", make_cpu_backend, cpu_paths, cpu_parts, cpu_devices},
#ifdef STRAKE_HAS_CUDA
    {"cuda", make_cuda_backend, cuda_paths, cuda_parts, cuda_devices},
#endif
};

const BackendEntry& find_backend(std::string_view device) {
  std::vector<std::string_view> names;
  for (const BackendEntry& entry : kBackends) {
    if (entry.name == device) return entry;
    names.push_back(entry.name);
  }
  fail(ErrorKind::kUnsupported, "device '{}' is not built in; this build has: {}", device,
       fmt::join(names, ", "));
}

}  // namespace

std::vector<std::string_view> backend_paths(std::string_view device) {
  return find_backend(device).paths();
}

int most_parts(std::string_view device) { return find_backend(device).most_parts(); }

std::vector<std::string> backend_devices(std::string_view device) {
  return find_backend(device).devices();
}

std::unique_ptr<Backend> make_backend(std::string_view device, const BackendOptions& options) {
  return find_backend(device).make(options);
}

}  // namespace strake
