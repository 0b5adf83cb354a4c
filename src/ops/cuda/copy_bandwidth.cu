#include "ops/cuda/copy_bandwidth.h"

#include <algorithm>
#include <limits>

#include "ops/cuda/launch.h"
#include "ops/cuda/timing_event.h"

namespace strake::cuda {
namespace {

constexpr int kThreads = 512;
constexpr int kLoads = 4;  // of a thread before its first store

__global__ void copy_kernel(const uint4* from, uint4* to, int64_t count) {
  const int64_t first = int64_t{blockIdx.x} * kThreads * kLoads + threadIdx.x;
  uint4 values[kLoads];
#pragma unroll
  for (int i = 0; i < kLoads; ++i)
    if (first + i * kThreads < count) values[i] = __ldcs(from + first + i * kThreads);
#pragma unroll
  for (int i = 0; i < kLoads; ++i)
    if (first + i * kThreads < count) __stcs(to + first + i * kThreads, values[i]);
}

}  // namespace

double copy_bandwidth(const void* from, void* to, int64_t bytes, cudaStream_t stream) {
  constexpr int kRuns = 5;
  const int64_t count = bytes / static_cast<int64_t>(sizeof(uint4));
  constexpr int64_t kPerBlock = int64_t{kThreads} * kLoads;
  const auto blocks = static_cast<unsigned>((count + kPerBlock - 1) / kPerBlock);
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < kRuns; ++i) {
    TimingEvent begin, end;
    begin.record(stream);
    launch({"copy", blocks, kThreads, 0, stream}, copy_kernel, static_cast<const uint4*>(from),
           static_cast<uint4*>(to), count);
    end.record(stream);
    best = std::min(best, end.seconds_since(begin));
  }
  return 2 * static_cast<double>(bytes) / best;
}

}  // namespace strake::cuda
