#include "strake/ops/backend.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <functional>
#include <utility>
#include <vector>

#include "base/recycled.h"
#include "ops/backends.h"
#include "ops/expect.h"

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

// Whether `rows` rows from `at` on stand below `capacity`.
void expect_positions(std::string_view op, const Position& at, int64_t rows, int64_t capacity) {
  expect(at.first >= 0 && at.most <= capacity - rows, op,
         "positions below {} expected, found {} rows from {} on", capacity, rows, at.most);
}

// As many as there are rows or heads, or none.
void expect_count(size_t found, int64_t expected, std::string_view what) {
  expect(found == 0 || found == static_cast<size_t>(expected), "attention",
         "{} {} expected, found {}", expected, what, found);
}

void check_selected(const Tensor& q, const AttentionView& view) {
  if (view.selected == nullptr) return;
  const Shape& shape = view.selected->shape();
  expect(view.selected->dtype() == DType::kI32 && shape.rank() == 2 && shape[0] == q.shape()[0] &&
             shape[1] > 0 && !view.window,
         "attention", "selected positions [{}, k], and no window expected, found {}", q.shape()[0],
         shape.to_string());
  // A kernel's own, not a caller's.
  if (view.selected->device() != Device::cpu() || view.first_position.on_device != nullptr) return;
  const auto rows = static_cast<size_t>(shape[0]);
  const auto count = static_cast<size_t>(shape[1]);
  const auto all = view.selected->data<int32_t>();
  for (size_t row = 0; row < rows; ++row) {
    const auto selected = all.subspan(row * count, count);
    const auto end = std::find(selected.begin(), selected.end(), -1);
    const bool ascends = std::adjacent_find(selected.begin(), end, std::greater_equal()) == end;
    expect(end != selected.begin() && ascends && selected.front() >= 0 &&
               end[-1] <= view.first_position.first + static_cast<int64_t>(row) &&
               std::count(end, selected.end(), -1) == selected.end() - end,
           "attention",
           "selected positions that ascend up to the row's own, then -1 expected, found {} in row "
           "{}",
           fmt::join(selected, " "), row);
  }
}

void check_attention(const Tensor& q, const CacheRows& keys, const AttentionView& view) {
  expect_floating("attention", "q", q, 3);
  const int64_t rows = q.shape()[0];
  const Shape& shape = keys.shape();
  expect(keys.dtype() == q.dtype(), "attention", "keys of {} expected, found {}",
         to_string(q.dtype()), to_string(keys.dtype()));
  expect(shape[2] == q.shape()[2], "attention",
         "keys and values [heads, slots, D] that fit q expected, found {}, {}", q, shape);
  expect(static_cast<int64_t>(view.heads.size()) == q.shape()[1], "attention",
         "{} head indices expected, found {}", q.shape()[1], view.heads.size());
  for (const int32_t head : view.heads)
    expect(head >= 0 && head < shape[0], "attention", "key-value heads below {} expected, found {}",
           shape[0], head);
  expect(view.window.value_or(1) >= 1, "attention",
         "a window of at least 1 position expected, found {}", view.window.value_or(1));
  if (keys.is_ring())
    expect(view.first_position.first >= 0 && view.window && *view.window + rows - 1 <= shape[1],
           "attention",
           "a window and rows that fit a ring of {} expected, found {} rows, window {}", shape[1],
           rows, view.window.value_or(0));
  else
    expect_positions("attention", view.first_position, rows, shape[1]);
  expect_count(view.sinks.size(), q.shape()[1], "sinks");
  expect_count(view.row_scales.size(), rows, "scales of rows");
  check_selected(q, view);
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

namespace {

void check_rope(const Tensor& x, const RopeTable& table, const Position& first_position) {
  expect_floating("rope", "x", x, 3);
  expect(table.dims % 2 == 0 && table.dims <= x.shape()[2], "rope",
         "an even number of at most {} dimensions expected, found {}", x.shape()[2], table.dims);
  expect_dtype("rope", "frequencies", table.frequencies, DType::kF32, 1);
  expect(table.frequencies.elements() == table.dims / 2, "rope",
         "{} frequencies expected, found {}", table.dims / 2, table.frequencies);
  expect(first_position.first >= 0, "rope", "a position of at least 0 expected, found {}",
         first_position.first);
}

void check_cache_store(const CacheRows& cache, const Tensor& x, const Position& first_position) {
  const Shape& shape = cache.shape();
  expect_dtype("cache_store", "x", x, cache.dtype(), 3);
  expect(shape[0] == x.shape()[1] && shape[2] == x.shape()[2], "cache_store",
         "x [rows, {}, {}] expected, found {}", shape[0], shape[2], x);
  if (cache.is_ring())
    expect(first_position.first >= 0 && x.shape()[0] <= kRingUnit, "cache_store",
           "up to {} rows expected, found {} rows from {} on", kRingUnit, x.shape()[0],
           first_position.first);
  else
    expect_positions("cache_store", first_position, x.shape()[0], shape[1]);
}

}  // namespace

void Backend::rope(Tensor& x, const RopeTable& table, const Position& first_position) {
  check_rope(x, table, first_position);
  do_rope(x, table, first_position);
}

void Backend::cache_store(CacheRows& cache, const Tensor& x, const Position& first_position) {
  check_cache_store(cache, x, first_position);
  do_cache_store(cache, x, first_position);
}

void Backend::place_heads(Tensor& q, NewHeads& heads, CacheRows& keys, CacheRows& values,
                          const Position& first_position) {
  if (heads.rope != nullptr)
    for (const Tensor* x : {&q, &heads.k}) check_rope(*x, *heads.rope, first_position);
  check_cache_store(keys, heads.k, first_position);
  check_cache_store(values, heads.v, first_position);
  do_place_heads(q, heads, keys, values, first_position);
}

void Backend::do_place_heads(Tensor& q, NewHeads& heads, CacheRows& keys, CacheRows& values,
                             const Position& first_position) {
  if (heads.rope != nullptr) {
    do_rope(q, *heads.rope, first_position);
    do_rope(heads.k, *heads.rope, first_position);
  }
  do_cache_store(keys, heads.k, first_position);
  do_cache_store(values, heads.v, first_position);
}

Tensor Backend::attention(const Tensor& q, const CacheRows& keys, const CacheRows& values,
                          const AttentionView& view) {
  check_attention(q, keys, view);
  expect(values.dtype() == q.dtype(), "attention", "values of {} expected, found {}",
         to_string(q.dtype()), to_string(values.dtype()));
  expect(values.shape().with(2, 0) == keys.shape().with(2, 0) && values.is_ring() == keys.is_ring(),
         "attention", "keys and values [heads, slots, D] that fit q expected, found {}, {}, {}", q,
         keys.shape(), values.shape());
  return do_attention(q, {keys, values, values.shape()[2]}, view);
}

Tensor Backend::attention(const Tensor& q, const CacheRows& keys, int64_t value_width,
                          const AttentionView& view) {
  check_attention(q, keys, view);
  expect(value_width >= 0 && value_width <= keys.shape()[2], "attention",
         "values of at most {} elements expected, found {}", keys.shape()[2], value_width);
  return do_attention(q, {keys, keys, value_width}, view);
}

Tensor Backend::select_keys(const Tensor& q, const Tensor& weights, const CacheRows& keys,
                            const IndexView& view) {
  expect_floating("select_keys", "q", q, 3);
  expect_dtype("select_keys", "weights", weights, DType::kF32, 2);
  expect(weights.shape() == Shape{q.shape()[0], q.shape()[1]}, "select_keys",
         "weights [{}, {}] expected, found {}", q.shape()[0], q.shape()[1], weights);
  expect(keys.dtype() == q.dtype() && keys.shape().with(1, 0) == Shape{1, 0, q.shape()[2]} &&
             !keys.is_ring(),
         "select_keys", "keys [1, slots, {}] like q, no ring expected, found {}", q.shape()[2],
         keys.shape());
  expect_positions("select_keys", view.first_position, q.shape()[0], keys.shape()[1]);
  expect(view.count >= 1, "select_keys", "at least 1 key expected, found {}", view.count);
  return do_select_keys(q, weights, keys, view);
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
