// bench_kernels on a GPU.
#include "cuda/bench.h"

#include <cuda_runtime.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "ops/cuda/launch.h"
#include "ops/cuda/timing_event.h"
#include "weights.h"

namespace strake {
namespace {

using cuda::check;

constexpr double kLeastSeconds = 1e-3;  // of a graph: beside that, starting one is nothing
constexpr double kMostSeconds = 60e-3;  // of a graph's replays, from kFewest on
constexpr int kReplays = 50;
constexpr int kFewest = 7;
constexpr int64_t kMostFewRows = 16;

std::unique_ptr<Recording> record(Backend& backend, const std::function<void()>& operations) {
  auto recording = backend.record(operations);
  if (recording == nullptr)
    throw Error(ErrorKind::kInternal, "what is measured cannot be recorded");
  return recording;
}

// The best of several, since other programs can only make it less.
double copy_bandwidth() {
  const auto backend = make_gpu();
  double best = 0;
  for (int i = 0; i < 5; ++i) best = std::max(best, backend->copy_bandwidth().value());
  return best;
}

std::vector<int64_t> rows_between(const KernelOptions& options, int64_t least, int64_t most) {
  std::vector<int64_t> rows;
  std::ranges::copy_if(options.rows, std::back_inserter(rows),
                       [&](int64_t count) { return count >= least && count <= most; });
  return rows;
}

}  // namespace

double graph_seconds(Backend& backend, int calls, const std::function<void(int)>& call) {
  const auto all = [&](int rounds) {
    for (int i = 0; i < rounds * calls; ++i) call(i % calls);
  };
  all(1);  // what is the same in every run is there afterwards
  cuda::TimingEvent begin, end;
  const auto timed = [&](Recording& recording) {
    begin.record(cudaStreamPerThread);
    recording.run();
    end.record(cudaStreamPerThread);
    return end.seconds_since(begin);
  };
  auto recording = record(backend, [&] { all(1); });
  timed(*recording);
  double seconds = timed(*recording);
  const int rounds = std::max(1, static_cast<int>(std::ceil(kLeastSeconds / seconds)));
  if (rounds > 1) {
    recording = record(backend, [&] { all(rounds); });
    seconds = timed(*recording);
  }
  std::vector<double> times(
      static_cast<size_t>(std::clamp(static_cast<int>(kMostSeconds / seconds), kFewest, kReplays)));
  for (double& time : times) time = timed(*recording);
  const auto middle = times.begin() + std::ssize(times) / 2;
  std::ranges::nth_element(times, middle);
  return *middle / (rounds * calls);
}

std::unique_ptr<Backend> make_gpu() { return make_backend("cuda", {}); }

int cold_sets(int64_t bytes) {
  return static_cast<int>(std::max<int64_t>(2, (kColdBytes + bytes - 1) / bytes));
}

SumTree divided_tree(int64_t extent) {
  constexpr int64_t kUnit = 128;  // whole groups of every format
  const int64_t units = std::max<int64_t>(1, extent / kUnit);
  const int64_t parts = std::min<int64_t>(units, most_parts("cuda"));
  std::vector<int64_t> cuts;
  for (int64_t part = 0; part < parts; ++part) cuts.push_back(units * part / parts * kUnit);
  cuts.push_back(extent);
  return SumTree(cuts);
}

Figures CudaBench::times(double bytes, double seconds) const {
  return {{"us", 1e6 * seconds, 2},
          {"floor us", 1e6 * bytes / bandwidth, 2},
          {"share", share(bytes, seconds), 3}};
}

std::vector<int64_t> few_rows(const KernelOptions& options) {
  return rows_between(options, 1, kMostFewRows);
}

std::vector<int64_t> many_rows(const KernelOptions& options) {
  return rows_between(options, kMostFewRows + 1, INT32_MAX);
}

void bench_cuda(const KernelOptions& options) {
  FigureTable table(options.output);
  CudaBench bench{options, copy_bandwidth(), table};
  cudaDeviceProp device{};
  check(cudaGetDeviceProperties(&device, 0), "the GPU's properties");
  table.list(device.name, {{"multiprocessors", static_cast<double>(device.multiProcessorCount), 0},
                           {"copy TB/s", bench.bandwidth / 1e12, 3}});
  const bool tilings = options.tilings == KernelOptions::Choice::kAll;
  if (options.has("few-rows")) tilings ? bench_few_rows_tilings(bench) : bench_few_rows(bench);
  if (options.has("many-rows")) tilings ? bench_many_rows_tilings(bench) : bench_many_rows(bench);
  if (!tilings && options.has("experts")) bench_experts(bench);
  if (!tilings && options.has("attention")) bench_attention(bench);
  table.list("afterwards", {{"copy TB/s", copy_bandwidth() / 1e12, 3}});
}

}  // namespace strake
