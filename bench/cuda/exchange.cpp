// Times what a decode step exchanges between GPUs of one host, recorded, directly and by NCCL:
//   bench_cuda_exchange [ranks]
#include <cuda_runtime.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "base/fail.h"
#include "comm/communicators.h"
#include "comm/nccl_group.h"
#include "launch.h"
#include "strake/nn/reduction.h"

namespace strake {
namespace {

constexpr int kInGraph = 200;
constexpr int kRuns = 21;

bool is_idle() { return cudaStreamQuery(cudaStreamPerThread) != cudaErrorNotReady; }

// Microseconds of one of many calls that are recorded together: median of some runs.
double time_of(Context& context, const std::function<void()>& call) {
  using Clock = std::chrono::steady_clock;
  call();
  const auto recording = context.backend.record([&] {
    for (int i = 0; i < kInGraph; ++i) call();
  });
  if (recording == nullptr) fail(ErrorKind::kUnsupported, "exchanges cannot be recorded");
  recording->run();
  context.group.await(is_idle);
  std::vector<double> times;
  for (int run = 0; run < kRuns; ++run) {
    context.group.barrier();
    const auto begin = Clock::now();
    recording->run();
    context.group.await(is_idle);
    const std::chrono::duration<double, std::micro> elapsed = Clock::now() - begin;
    times.push_back(elapsed.count() / kInGraph);
  }
  std::ranges::sort(times);
  return times[times.size() / 2];
}

struct Times {
  double sum, gather;
};

// A message of `bytes` from each rank: as a partial sum, and as it is.
Times measure(Context& context, int64_t bytes) {
  const int ranks = context.group.size(), rank = context.group.rank();
  const Dimension inputs = Dimension("inputs", 4096, 32).with_parts(16);
  const Reduction reduction(inputs, Partition::divide(inputs, Shares::equal(ranks)));
  const Place place = context.backend.place();
  const int64_t columns = bytes / static_cast<int64_t>(sizeof(float));
  const Tensor partial =
      Tensor::zeros(DType::kF32, {std::ssize(reduction.part(rank).nodes), 1, columns}, place);
  const Tensor mine = Tensor::zeros(DType::kU8, {bytes}, place);
  Tensor all = Tensor::zeros(DType::kU8, {bytes * ranks}, place);
  const std::vector<int64_t> counts(static_cast<size_t>(ranks), bytes);
  return {time_of(context, [&] { reduction.finish(context, partial); }), time_of(context, [&] {
            context.group.all_gather(mine.bytes(), all.mutable_bytes(), counts);
          })};
}

void report(Group& control) {
  const auto backend = make_backend("cuda", {.index = control.rank()});
  const auto direct = make_nccl_group(control);
  const auto nccl = make_nccl_group(control, ShortMessages::kNccl);
  Context directly{*backend, *direct, DType::kF32}, by_nccl{*backend, *nccl, DType::kF32};
  if (control.rank() == 0)
    std::printf("us of one of %d in a graph, %d ranks\n%10s %16s %16s %16s %16s\n", kInGraph,
                control.size(), "bytes", "sum, direct", "sum, NCCL", "gather, direct",
                "gather, NCCL");
  // The last: logits of 128,256 tokens on two ranks.
  for (const int64_t bytes : {64, 8 << 10, 16 << 10, 32 << 10, 64 << 10, 256'512}) {
    const Times ours = measure(directly, bytes), theirs = measure(by_nccl, bytes);
    if (control.rank() == 0)
      std::printf("%10lld %16.2f %16.2f %16.2f %16.2f\n", static_cast<long long>(bytes), ours.sum,
                  theirs.sum, ours.gather, theirs.gather);
  }
}

int run(const std::vector<std::string>& arguments) {
  LaunchOptions launch;
  launch.ranks = arguments.empty() ? 2 : std::stoi(arguments[0]);
  if (!is_launched_rank()) return launch_ranks(launch, arguments);
  const auto control = make_group({});
  report(*control);
  return 0;
}

}  // namespace
}  // namespace strake

int main(int count, char** words) {
  return strake::run(std::vector<std::string>(words + 1, words + count));
}
