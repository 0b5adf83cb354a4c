// What belongs to a sequence: positions, its cache, attention to it.
#include <algorithm>
#include <vector>

#include "base/fail.h"
#include "ops/cuda/attention.h"
#include "ops/cuda/cuda_backend.h"
#include "ops/cuda/heads.h"
#include "ops/cuda/select_keys.h"

namespace strake::cuda {
namespace {

const cudaStream_t kStream = cudaStreamPerThread;

void* address(Tensor& tensor) { return tensor.mutable_bytes().data(); }
const void* address(const Tensor& tensor) { return tensor.bytes().data(); }

// The device writes to what it is a view of.
void* writable(const Tensor& tensor) { return const_cast<std::byte*>(tensor.bytes().data()); }

CachedRows rows_of(const CacheRows& cache) {
  if (cache.dense() != nullptr) return {writable(*cache.dense())};
  const QuantizedMatrix& codes = *cache.quantized();
  return {writable(codes.codes()), writable(codes.scales()),
          codes.biases() ? writable(*codes.biases()) : nullptr};
}

std::optional<CodeFormat> format_of(const CacheRows& cache) {
  if (cache.quantized() == nullptr) return std::nullopt;
  const Format format = cache.quantized()->format();
  return CodeFormat{format.mode(), format.bits(), format.group_size(),
                    cache.quantized()->scales().dtype()};
}

// x [rows, heads, width].
Heads heads_of(const Tensor& x) {
  const int64_t heads = x.shape()[1], width = x.shape()[2];
  return {writable(x), heads, width, heads * width, width};
}

// Their columns [begin, end), elements of `dtype`.
Heads columns_of(const Heads& all, int64_t begin, int64_t end, DType dtype) {
  return {static_cast<std::byte*>(all.data) + begin * size_of(dtype), all.heads, end - begin,
          all.row_stride, all.head_stride};
}

NormWeight norm_weight(const RowNorm& norm) {
  NormWeight result{.weight = address(norm.weight), .dtype = norm.weight.dtype(), .eps = norm.eps};
  if (norm.bias != nullptr) {
    result.bias = address(*norm.bias);
    result.bias_dtype = norm.bias->dtype();
  }
  return result;
}

TurnedPairs turned(RopeTable::Pairs pairs) {
  switch (pairs) {
    case RopeTable::Pairs::kHalves:
      return TurnedPairs::kHalves;
    case RopeTable::Pairs::kAdjacent:
      return TurnedPairs::kAdjacent;
  }
  fail(ErrorKind::kInternal, "rope: no such pairs");
}

}  // namespace

CachedSequence CudaBackend::cached_sequence(const CacheRows& keys, const CacheRows& values) const {
  return {rows_of(keys), rows_of(values), keys.shape()[1]};
}

Rope CudaBackend::rope_of(const RopeTable& table) {
  return {constants_.find(table.frequencies.data<float>()), table.dims / 2, turned(table.pairs),
          table.magnitude};
}

void CudaBackend::do_rope(Tensor& x, const RopeTable& table, const Position& first_position) {
  if (x.elements() == 0) return;
  HeadJobs jobs;
  jobs.count = 1;
  HeadJob& job = jobs.jobs[0];
  job.from = job.to = heads_of(x);
  job.rope = rope_of(table);
  cuda::place_heads(jobs, {address_of(first_position), x.shape()[0], 1}, x.dtype(), x.dtype(),
                    kStream);
}

void CudaBackend::do_cache_store(CacheRows& cache, const Tensor& x,
                                 const Position& first_position) {
  if (x.elements() == 0) return;
  const CachedSequence* const caches = constants_.find_value(cached_sequence(cache, cache));
  const TokenRows rows{address_of(first_position), x.shape()[0], 1};
  if (const auto format = format_of(cache)) {
    store_coded({heads_of(x), x.dtype(), HeadsTo::kKeys, *format, caches}, rows, kStream);
    return;
  }
  HeadJobs jobs;
  jobs.count = 1;
  jobs.caches = caches;
  HeadJob& job = jobs.jobs[0];
  job.from = heads_of(x);
  job.target = HeadsTo::kKeys;
  job.cache_width = x.shape()[2];
  cuda::place_heads(jobs, rows, x.dtype(), x.dtype(), kStream);
}

void CudaBackend::do_place_heads(Tensor& q, NewHeads& heads, CacheRows& keys, CacheRows& values,
                                 const Position& first_position) {
  if (format_of(keys) || format_of(values) || q.elements() == 0 || heads.k.elements() == 0 ||
      heads.v.elements() == 0)
    return Backend::do_place_heads(q, heads, keys, values, first_position);
  HeadJobs jobs;
  jobs.caches = constants_.find_value(cached_sequence(keys, values));
  const auto add = [&](const Tensor& from, HeadsTo target) -> HeadJob& {
    HeadJob& job = jobs.jobs[jobs.count++];
    job.from = job.to = heads_of(from);
    job.target = target;
    job.cache_width = from.shape()[2];
    return job;
  };
  add(heads.v, HeadsTo::kValues);
  HeadJob& keys_job = add(heads.k, HeadsTo::kKeys);
  if (heads.rope != nullptr) keys_job.rope = add(q, HeadsTo::kRows).rope = rope_of(*heads.rope);
  const TokenRows rows{address_of(first_position), q.shape()[0], 1};
  cuda::place_heads(jobs, rows, q.dtype(), q.dtype(), kStream);
}

std::optional<HeadJobs> CudaBackend::jobs_of(std::span<const HeadColumns> parts, DType dtype) {
  const DType from = parts[0].x.dtype();
  if (parts.size() > HeadJobs::kMost || (from != DType::kF32 && from != dtype)) return std::nullopt;
  HeadJobs jobs;
  for (const HeadColumns& part : parts) {
    if (part.x.dtype() != from || part.norm) return std::nullopt;
    HeadJob& job = jobs.jobs[jobs.count++];
    job.from = columns_of(heads_of(part.x), part.begin, part.end, from);
    if (part.rope != nullptr) job.rope = rope_of(*part.rope);
  }
  return jobs;
}

Tensor CudaBackend::do_join_heads(std::span<const HeadColumns> parts, DType dtype,
                                  const Position& first_position) {
  std::optional<HeadJobs> jobs = jobs_of(parts, dtype);
  if (!jobs) return Backend::do_join_heads(parts, dtype, first_position);
  int64_t width = 0;
  for (int i = 0; i < jobs->count; ++i) width += jobs->jobs[i].from.width;
  const Shape& shape = parts[0].x.shape();
  Tensor result = parts[0].x.beside(dtype, shape.with(2, width));
  if (result.elements() == 0) return result;
  int64_t column = 0;
  for (int i = 0; i < jobs->count; ++i) {
    HeadJob& job = jobs->jobs[i];
    job.to = columns_of(heads_of(result), column, column + job.from.width, dtype);
    column += job.from.width;
  }
  cuda::place_heads(*jobs, {address_of(first_position), shape[0], 1}, parts[0].x.dtype(), dtype,
                    kStream);
  return result;
}

void CudaBackend::do_store_heads(CacheRows& cache, std::span<const HeadColumns> parts,
                                 const Position& first_position) {
  std::optional<HeadJobs> jobs = jobs_of(parts, cache.dtype());
  if (!jobs || format_of(cache)) return Backend::do_store_heads(cache, parts, first_position);
  const Shape& shape = parts[0].x.shape();
  if (shape[0] * shape[1] == 0) return;
  jobs->caches = constants_.find_value(cached_sequence(cache, cache));
  int64_t column = 0;
  for (int i = 0; i < jobs->count; ++i) {
    HeadJob& job = jobs->jobs[i];
    job.target = HeadsTo::kKeys;
    job.cache_width = cache.shape()[2];
    job.cache_column = column;
    column += job.from.width;
  }
  cuda::place_heads(*jobs, {address_of(first_position), shape[0], 1}, parts[0].x.dtype(),
                    cache.dtype(), kStream);
}

std::optional<Recycled<NormedHeads>> CudaBackend::normed_of(HeadRows& rows) {
  if (rows.cache != nullptr && format_of(*rows.cache)) return std::nullopt;
  const int64_t heads = rows.columns[0].x.shape()[1];
  Recycled<NormedHeads> all;
  int64_t width = 0;
  for (const HeadColumns& part : rows.columns) {
    if (part.x.dtype() != DType::kF32) return std::nullopt;
    NormedHeads& own = all.emplace_back();
    HeadJob& job = own.job;
    job.from = columns_of(heads_of(part.x.slice(0, rows.begin, rows.end)), part.begin, part.end,
                          DType::kF32);
    if (part.rope != nullptr) job.rope = rope_of(*part.rope);
    job.cache_column = width;
    if (part.norm) own.norm = norm_weight(*part.norm);
    own.rows = {address_of(rows.first_position), rows.end - rows.begin, 1};
    if (!can_place(own)) return std::nullopt;
    width += job.from.width;
  }
  if (rows.cache == nullptr)
    rows.result = rows.columns[0].x.beside(rows.dtype, {rows.end - rows.begin, heads, width});
  for (NormedHeads& own : all) {
    HeadJob& job = own.job;
    if (rows.cache == nullptr) {
      job.to = columns_of(heads_of(*rows.result), job.cache_column,
                          job.cache_column + job.from.width, rows.dtype);
    } else {
      job.target = HeadsTo::kKeys;
      job.cache_width = width;
      own.caches = constants_.find_value(cached_sequence(*rows.cache, *rows.cache));
    }
  }
  return all;
}

void CudaBackend::do_place_each(std::span<HeadRows> all) {
  NormedHeadJobs jobs;
  DType dtype = DType::kF32;  // of those jobs
  const auto place = [&] {
    place_normed_heads(jobs, dtype, kStream);
    jobs.count = 0;
  };
  for (HeadRows& rows : all) {
    const auto normed = normed_of(rows);
    if (!normed) {
      Backend::do_place_each({&rows, 1});
      continue;
    }
    for (const NormedHeads& each : *normed) {
      if (jobs.count == NormedHeadJobs::kMost || (jobs.count > 0 && dtype != rows.dtype)) place();
      dtype = rows.dtype;
      jobs.jobs[jobs.count++] = each;
    }
  }
  place();
}

Tensor CudaBackend::do_attention(const Tensor& q, const AttentionRows& cached,
                                 const AttentionView& view) {
  const int64_t tokens = q.shape()[0], heads = q.shape()[1];
  Tensor result = q.beside(q.dtype(), {tokens, heads, cached.value_width});
  if (result.elements() == 0) return result;
  const int64_t cached_heads = cached.keys.shape()[0];
  // Query heads of each cached head, which come in its order.
  std::vector<int32_t> first_query(static_cast<size_t>(cached_heads) + 1);
  for (const int32_t head : view.heads) ++first_query[static_cast<size_t>(head) + 1];
  const int64_t largest_group = *std::ranges::max_element(first_query);
  const bool equal = largest_group * cached_heads == heads;
  for (size_t i = 1; i < first_query.size(); ++i) first_query[i] += first_query[i - 1];
  if (!std::ranges::is_sorted(view.heads))
    fail(ErrorKind::kUnsupported, "cuda: query heads in order of their cached heads expected");

  AttentionShape shape{.dtype = q.dtype(),
                       .key_format = format_of(cached.keys),
                       .value_format = format_of(cached.values),
                       .heads = heads,
                       .cached_heads = cached_heads,
                       .largest_group = largest_group,
                       .width = q.shape()[2],
                       .value_width = cached.value_width,
                       .value_stride = cached.values.shape()[2],
                       .positions = view.first_position.most + tokens,
                       .window = view.window.value_or(0),
                       .selected = view.selected != nullptr ? view.selected->shape()[1] : 0};
  Tensor workspace = Tensor::empty(
      DType::kU8, {static_cast<int64_t>(attention_workspace(shape, tokens, 1))}, memory_);
  std::optional<Tensor> row_scales;
  if (!view.row_scales.empty()) row_scales = upload(view.row_scales);
  const AttentionOperands operands{
      .q = address(q),
      .caches = constants_.find_value(cached_sequence(cached.keys, cached.values)),
      .first_query = equal ? nullptr : constants_.find(std::span<const int32_t>(first_query)),
      .scale = view.scale,
      .sinks = view.sinks.empty() ? nullptr : constants_.find(view.sinks),
      .selected =
          view.selected != nullptr ? static_cast<const int32_t*>(address(*view.selected)) : nullptr,
      .row_scales = row_scales ? static_cast<const float*>(address(*row_scales)) : nullptr,
      .out = address(result),
      .workspace = address(workspace)};
  cuda::attention(shape, operands, {address_of(view.first_position), tokens, 1}, kStream);
  return result;
}

Tensor CudaBackend::do_select_keys(const Tensor& q, const Tensor& weights, const CacheRows& keys,
                                   const IndexView& view) {
  const int64_t rows = q.shape()[0];
  Tensor result = q.beside(DType::kI32, {rows, view.count});
  if (rows == 0) return result;
  if (keys.quantized() != nullptr)
    fail(ErrorKind::kUnsupported, "cuda: an indexer's keys in 8 bits");
  const IndexShape shape{q.dtype(), q.shape()[1], q.shape()[2], view.count,
                         view.first_position.most + rows};
  Tensor workspace = Tensor::empty(
      DType::kU8, {static_cast<int64_t>(select_keys_workspace(shape, rows))}, memory_);
  Rope rope;
  if (view.rope != nullptr) {
    if (turns_queries(shape, rows)) {
      rope = rope_of(*view.rope);
    } else {
      Tensor turning = q;
      do_rope(turning, *view.rope, view.first_position);
    }
  }
  cuda::select_keys(shape,
                    {address(q), static_cast<const float*>(address(weights)),
                     constants_.find_value(cached_sequence(keys, keys)),
                     static_cast<int32_t*>(address(result)), address(workspace), rope},
                    {address_of(view.first_position), rows, 1}, kStream);
  return result;
}

}  // namespace strake::cuda
