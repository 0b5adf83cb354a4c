#include <algorithm>

#include "ops/cuda/codes.h"
#include "ops/cuda/encode.h"
#include "ops/cuda/heads.h"
#include "ops/cuda/launch.h"
#include "ops/cuda/ptx.h"

namespace strake::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int64_t kMostRows = 65535;  // of a grid

struct Place {
  int64_t sequence;
  int64_t position;
};
__device__ Place place_of(const TokenRows& rows, int64_t row) {
  const int64_t sequence = row / rows.tokens;
  return {sequence, int64_t{rows.first_positions[sequence]} + row % rows.tokens};
}

// Of a cache, the row of a head's position.
__device__ int64_t cached_row(const CachedSequence& cache, int64_t head, int64_t position) {
  return head * cache.slots + position % cache.slots;
}

template <class In, class T>
__device__ void turn_head(const In* from, T* to, const HeadJob& job, int64_t position) {
  const Rope& rope = job.rope;
  const auto value = [&](int64_t i) { return rounded<T>(to_float(from[i])); };
  for (int64_t i = threadIdx.x; i < rope.pairs; i += kThreads) {
    const bool halves = rope.which == TurnedPairs::kHalves;
    const int64_t first = halves ? i : 2 * i;
    const int64_t second = halves ? i + rope.pairs : 2 * i + 1;
    float sine, cosine;
    sincosf(static_cast<float>(position) * rope.frequencies[i], &sine, &cosine);
    cosine *= rope.magnitude;
    sine *= rope.magnitude;
    const float a = value(first), b = value(second);
    to[first] = from_float<T>(a * cosine - b * sine);
    to[second] = from_float<T>(b * cosine + a * sine);
  }
  for (int64_t i = 2 * rope.pairs + threadIdx.x; i < job.from.width; i += kThreads)
    to[i] = from_float<T>(to_float(from[i]));
}

template <class In, class T>
__global__ void place_heads_kernel(HeadJobs jobs, TokenRows rows) {
  begin_after_predecessor();
  int64_t head = blockIdx.x;
  int which = 0;
  while (head >= jobs.jobs[which].from.heads) head -= jobs.jobs[which++].from.heads;
  const HeadJob& job = jobs.jobs[which];
  for (int64_t row = blockIdx.y; row < rows.count(); row += gridDim.y) {
    const Place place = place_of(rows, row);
    const In* const from = static_cast<const In*>(job.from.data) + row * job.from.row_stride +
                           head * job.from.head_stride;
    T* to;
    if (job.target == HeadsTo::kRows) {
      to = static_cast<T*>(job.to.data) + row * job.to.row_stride + head * job.to.head_stride;
    } else {
      const CachedSequence& cache = jobs.caches[place.sequence];
      const CachedRows& kept = job.target == HeadsTo::kKeys ? cache.keys : cache.values;
      to = static_cast<T*>(kept.elements) +
           cached_row(cache, head, place.position) * job.cache_width + job.cache_column;
    }
    turn_head(from, to, job, place.position);
  }
}

template <class T>
__global__ void store_coded_kernel(CodedStore store, TokenRows rows) {
  begin_after_predecessor();
  const int64_t groups = store.from.width / store.format.group_size;
  const int64_t index = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (index >= rows.count() * store.from.heads * groups) return;
  const int64_t group = index % groups;
  const int64_t head = index / groups % store.from.heads;
  const int64_t row = index / (groups * store.from.heads);
  const Place place = place_of(rows, row);
  const CachedSequence& cache = store.caches[place.sequence];
  const CachedRows& kept = store.target == HeadsTo::kKeys ? cache.keys : cache.values;
  const T* const from = static_cast<const T*>(store.from.data) + row * store.from.row_stride +
                        head * store.from.head_stride + group * store.format.group_size;
  encode_group(from, store.format, kept, cached_row(cache, head, place.position) * groups + group);
}

}  // namespace

void place_heads(const HeadJobs& jobs, const TokenRows& rows, DType from, DType dtype,
                 cudaStream_t stream) {
  int64_t heads = 0;
  for (int i = 0; i < jobs.count; ++i) heads += jobs.jobs[i].from.heads;
  if (heads == 0 || rows.count() == 0) return;
  const Launch at{
      "place_heads",
      {static_cast<unsigned>(heads), static_cast<unsigned>(std::min(rows.count(), kMostRows))},
      kThreads,
      0,
      stream,
      Order::kOverlapping};
  visit_floating(dtype, [&]<class T>(T) {
    if (from == dtype) return launch(at, place_heads_kernel<T, T>, jobs, rows);
    if (from != DType::kF32)
      throw Error(ErrorKind::kInternal, "place_heads: heads of F32 or of the cache's dtype");
    launch(at, place_heads_kernel<float, T>, jobs, rows);
  });
}

void store_coded(const CodedStore& store, const TokenRows& rows, cudaStream_t stream) {
  const int64_t items =
      rows.count() * store.from.heads * (store.from.width / store.format.group_size);
  if (items == 0) return;
  visit_floating(store.dtype, [&]<class T>(T) {
    launch({"store_coded", static_cast<unsigned>((items + kThreads - 1) / kThreads), kThreads, 0,
            stream, Order::kOverlapping},
           store_coded_kernel<T>, store, rows);
  });
}

}  // namespace strake::cuda
