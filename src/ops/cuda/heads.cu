#include <algorithm>

#include "ops/cuda/codes.h"
#include "ops/cuda/encode.h"
#include "ops/cuda/head_part.h"
#include "ops/cuda/heads.h"
#include "ops/cuda/launch.h"
#include "ops/cuda/ptx.h"

namespace strake::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int64_t kMostRows = 65535;  // of a grid
// From so many rows on, threads take several, and ask for them before they wait for one.
constexpr int64_t kManyRows = 64;
constexpr int kRowsAtOnce = 4;

// The head of all jobs' that this block has.
struct BlockHead {
  int64_t head = blockIdx.x;
  int which = 0;

  __device__ explicit BlockHead(const HeadJobs& jobs) {
    while (head >= jobs.jobs[which].from.heads) head -= jobs.jobs[which++].from.heads;
  }
};

template <class In, class T>
__global__ void place_heads_kernel(HeadJobs jobs, TokenRows rows) {
  const auto [head, which] = BlockHead(jobs);
  const HeadJob& job = jobs.jobs[which];
  const auto parts = static_cast<int>(job.from.width - job.rope.pairs);
  int64_t row = blockIdx.y;
  Place place(rows, row);
  // Where caches are does not come from the kernel before.
  HeadTarget target(jobs.caches, job, place.sequence);
  // Attention brings what was stored before this while this still runs: see settled_positions().
  begin_after_all();
  if (static_cast<int>(threadIdx.x) >= parts) return;
  while (true) {
    const In* const from = static_cast<const In*>(job.from.data) + row * job.from.row_stride +
                           head * job.from.head_stride;
    const HeadPart<In, T> first(from, job.rope, static_cast<int>(threadIdx.x));
    const uint32_t position = place.position(rows);
    T* const to = static_cast<T*>(target.data) + target.begin(job, row, head, position);
    first.put(to, job.rope, position);
    for (int next = static_cast<int>(threadIdx.x) + kThreads; next < parts; next += kThreads)
      HeadPart<In, T>(from, job.rope, next).put(to, job.rope, position);
    row += gridDim.y;
    if (row >= rows.count()) return;
    place = Place(rows, row);
    target = HeadTarget(jobs.caches, job, place.sequence);
  }
}

template <class In, class T>
__global__ void place_many_heads_kernel(HeadJobs jobs, TokenRows rows) {
  begin_after_predecessor();
  const auto [head, which] = BlockHead(jobs);
  const HeadJob& job = jobs.jobs[which];
  const auto parts = static_cast<int>(job.from.width - job.rope.pairs);
  // Rows that the block's threads have beside each other.
  const int rows_across = max(1, kThreads / parts);
  const int across = static_cast<int>(threadIdx.x) / parts;
  if (across >= rows_across) return;
  const int64_t step = int64_t{gridDim.y} * rows_across;
  int64_t row = int64_t{blockIdx.y} * rows_across + across;
  for (; row < rows.count(); row += kRowsAtOnce * step) {
    for (int index = static_cast<int>(threadIdx.x) - across * parts; index < parts;
         index += kThreads) {
      HeadPart<In, T> of_rows[kRowsAtOnce];
#pragma unroll
      for (int i = 0; i < kRowsAtOnce; ++i)
        if (row + i * step < rows.count())
          of_rows[i] = {static_cast<const In*>(job.from.data) +
                            (row + i * step) * job.from.row_stride + head * job.from.head_stride,
                        job.rope, index};
#pragma unroll
      for (int i = 0; i < kRowsAtOnce; ++i) {
        const int64_t own = row + i * step;
        if (own >= rows.count()) break;
        const Place place(rows, own);
        const HeadTarget target(jobs.caches, job, place.sequence);
        const uint32_t position = place.position(rows);
        of_rows[i].put(static_cast<T*>(target.data) + target.begin(job, own, head, position),
                       job.rope, position);
      }
    }
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
  const Place place(rows, row);
  const CachedSequence& cache = store.caches[place.sequence];
  const CachedRows& kept = store.target == HeadsTo::kKeys ? cache.keys : cache.values;
  const T* const from = static_cast<const T*>(store.from.data) + row * store.from.row_stride +
                        head * store.from.head_stride + group * store.format.group_size;
  encode_group(from, store.format, kept,
               cached_row(cache.slots, head, place.position(rows)) * groups + group);
}

}  // namespace

void place_heads(const HeadJobs& jobs, const TokenRows& rows, DType from, DType dtype,
                 cudaStream_t stream) {
  int64_t heads = 0;
  for (int i = 0; i < jobs.count; ++i) heads += jobs.jobs[i].from.heads;
  if (heads == 0 || rows.count() == 0) return;
  const bool many = rows.count() >= kManyRows;
  // Of many rows, a block has some kRowsAtOnce times, or twice as many.
  const int64_t blocks = many ? rows.count() / (2 * kRowsAtOnce) : rows.count();
  const Launch at{
      "place_heads",
      {static_cast<unsigned>(heads), static_cast<unsigned>(std::min(blocks, kMostRows))},
      kThreads,
      0,
      stream,
      Order::kOverlapping};
  visit_floating(dtype, [&]<class T>(T) {
    const auto place = [&]<class In>(In) {
      launch(at, many ? place_many_heads_kernel<In, T> : place_heads_kernel<In, T>, jobs, rows);
    };
    if (from == dtype) return place(T());
    if (from != DType::kF32)
      throw Error(ErrorKind::kInternal, "place_heads: heads of F32 or of the cache's dtype");
    place(float());
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
