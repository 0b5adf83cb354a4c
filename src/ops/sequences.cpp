// What belongs to a sequence: positions, its cache, attention to it.
#include <fmt/ranges.h>

#include <algorithm>
#include <functional>

#include "base/recycled.h"
#include "ops/expect.h"
#include "strake/ops/backend.h"

namespace strake {
namespace {

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

// Of rows of this width.
void check_table(int64_t width, const RopeTable& table, const Position& first_position) {
  expect(table.dims % 2 == 0 && table.dims <= width, "rope",
         "an even number of at most {} dimensions expected, found {}", width, table.dims);
  expect_dtype("rope", "frequencies", table.frequencies, DType::kF32, 1);
  expect(table.frequencies.elements() == table.dims / 2, "rope",
         "{} frequencies expected, found {}", table.dims / 2, table.frequencies);
  expect(first_position.first >= 0, "rope", "a position of at least 0 expected, found {}",
         first_position.first);
}

void check_rope(const Tensor& x, const RopeTable& table, const Position& first_position) {
  expect_floating("rope", "x", x, 3);
  check_table(x.shape()[2], table, first_position);
}

void check_slots(const CacheRows& cache, int64_t rows, const Position& first_position) {
  if (cache.is_ring())
    expect(first_position.first >= 0 && rows <= kRingUnit, "cache_store",
           "up to {} rows expected, found {} rows from {} on", kRingUnit, rows,
           first_position.first);
  else
    expect_positions("cache_store", first_position, rows, cache.shape()[1]);
}

void check_cache_store(const CacheRows& cache, const Tensor& x, const Position& first_position) {
  const Shape& shape = cache.shape();
  expect_dtype("cache_store", "x", x, cache.dtype(), 3);
  expect(shape[0] == x.shape()[1] && shape[2] == x.shape()[2], "cache_store",
         "x [rows, {}, {}] expected, found {}", shape[0], shape[2], x);
  check_slots(cache, x.shape()[0], first_position);
}

void check_norm(std::string_view op, const HeadColumns& part) {
  const int64_t width = part.end - part.begin;
  expect(part.x.dtype() == DType::kF32, op, "F32 x for a norm expected, found {}", part.x);
  for (const Tensor* each : {&part.norm->weight, part.norm->bias})
    if (each != nullptr)
      expect(is_floating(each->dtype()) && each->shape() == Shape{width}, op,
             "a floating norm [{}] expected, found {}", width, *each);
}

// Returns how many columns there are together.
int64_t check_heads(std::string_view op, std::span<const HeadColumns> parts,
                    const Position& first_position) {
  expect(!parts.empty(), op, "columns expected, found none");
  int64_t columns = 0;
  for (const HeadColumns& part : parts) {
    expect_floating(op, "x", part.x, 3);
    const Shape& shape = part.x.shape();
    expect(shape.with(2, 0) == parts[0].x.shape().with(2, 0), op,
           "as many rows and heads expected, found {}, {}", parts[0].x, part.x);
    expect(part.begin >= 0 && part.begin <= part.end && part.end <= shape[2], op,
           "columns of {} expected, found [{}, {})", part.x, part.begin, part.end);
    if (part.norm) check_norm(op, part);
    if (part.rope != nullptr) check_table(part.end - part.begin, *part.rope, first_position);
    columns += part.end - part.begin;
  }
  return columns;
}

void check_room(const CacheRows& cache, std::span<const HeadColumns> parts, int64_t columns) {
  const Shape& shape = cache.shape();
  expect(shape[0] == parts[0].x.shape()[1] && shape[2] == columns, "store_heads",
         "{} heads of {} columns expected, found {} of {}", shape[0], shape[2],
         parts[0].x.shape()[1], columns);
}

void check_placed(const HeadRows& rows) {
  const int64_t columns = check_heads("place_each", rows.columns, rows.first_position);
  const Tensor& x = rows.columns[0].x;
  expect(rows.begin >= 0 && rows.begin <= rows.end && rows.end <= x.shape()[0], "place_each",
         "rows of {} expected, found [{}, {})", x, rows.begin, rows.end);
  expect_result("place_each", rows.dtype);
  if (rows.cache == nullptr) return;
  expect(rows.dtype == rows.cache->dtype(), "place_each", "a cache of {} expected, found {}",
         to_string(rows.dtype), to_string(rows.cache->dtype()));
  check_room(*rows.cache, rows.columns, columns);
  check_slots(*rows.cache, rows.end - rows.begin, rows.first_position);
}

// Rounded to `dtype`, and normed before.
Tensor taken(Backend& backend, const HeadColumns& part, DType dtype) {
  const Tensor columns = part.x.slice(2, part.begin, part.end);
  if (!part.norm) return columns.to(dtype);
  const Shape& shape = columns.shape();
  const Tensor rows = columns.reshape({shape[0] * shape[1], shape[2]});
  const auto& [weight, bias, eps] = *part.norm;
  const Tensor normed = bias != nullptr ? backend.layer_norm(rows, {weight, *bias, eps}, dtype)
                                        : backend.rms_norm(rows, weight, eps, dtype);
  return normed.reshape(shape);
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

Tensor Backend::join_heads(std::span<const HeadColumns> parts, DType dtype,
                           const Position& first_position) {
  check_heads("join_heads", parts, first_position);
  expect_result("join_heads", dtype);
  return do_join_heads(parts, dtype, first_position);
}

Tensor Backend::do_join_heads(std::span<const HeadColumns> parts, DType dtype,
                              const Position& first_position) {
  Recycled<Tensor> columns;
  for (const HeadColumns& part : parts) {
    columns.push_back(taken(*this, part, dtype));
    if (part.rope != nullptr) do_rope(columns.back(), *part.rope, first_position);
  }
  return columns.size() == 1 ? columns.front() : concatenate(columns, 2);
}

void Backend::store_heads(CacheRows& cache, std::span<const HeadColumns> parts,
                          const Position& first_position) {
  const int64_t columns = check_heads("store_heads", parts, first_position);
  check_room(cache, parts, columns);
  check_slots(cache, parts[0].x.shape()[0], first_position);
  do_store_heads(cache, parts, first_position);
}

void Backend::do_store_heads(CacheRows& cache, std::span<const HeadColumns> parts,
                             const Position& first_position) {
  do_cache_store(cache, do_join_heads(parts, cache.dtype(), first_position), first_position);
}

void Backend::place_each(std::span<HeadRows> all) {
  for (const HeadRows& rows : all) check_placed(rows);
  do_place_each(all);
}

void Backend::do_place_each(std::span<HeadRows> all) {
  for (HeadRows& rows : all) {
    Recycled<Tensor> own;
    for (const HeadColumns& part : rows.columns)
      own.push_back(part.x.slice(0, rows.begin, rows.end));
    Recycled<HeadColumns> columns;
    for (size_t i = 0; i < own.size(); ++i) {
      const HeadColumns& part = rows.columns[i];
      columns.push_back({own[i], part.begin, part.end, part.rope, part.norm});
    }
    if (rows.cache != nullptr)
      do_store_heads(*rows.cache, columns, rows.first_position);
    else
      rows.result = do_join_heads(columns, rows.dtype, rows.first_position);
  }
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
  if (view.rope != nullptr) check_table(q.shape()[2], *view.rope, view.first_position);
  return do_select_keys(q, weights, keys, view);
}

}  // namespace strake
