// Times products with few rows on the device: cold weights, graphs, medians, and shares of the
// bandwidth that copies reach in the same run.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <functional>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "bench/cuda_cublas.h"
#include "ops/cuda/few_rows_instances.h"
#include "ops/cuda/leaf_steps.h"
#include "ops/cuda/pack.h"
#include "tests/ops/cuda/device_array.h"

namespace strake::cuda {
namespace {

constexpr int64_t kColdBytes = int64_t{480} << 20;
constexpr int kRepeats = 9;

// Microseconds of one of `count` calls that a graph has, the median of some launches.
double time_in_graph(int count, const std::function<void(int, cudaStream_t)>& call) {
  cudaStream_t stream;
  check(cudaStreamCreate(&stream), "stream");
  cudaGraph_t graph;
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capture");
  for (int i = 0; i < count; ++i) call(i, stream);
  check(cudaStreamEndCapture(stream, &graph), "capture");
  cudaGraphExec_t instance;
  check(cudaGraphInstantiate(&instance, graph, 0), "graph");
  cudaEvent_t begin, end;
  check(cudaEventCreate(&begin), "event");
  check(cudaEventCreate(&end), "event");
  std::vector<float> times;
  for (int i = 0; i < kRepeats + 2; ++i) {
    check(cudaEventRecord(begin, stream), "event");
    check(cudaGraphLaunch(instance, stream), "graph");
    check(cudaEventRecord(end, stream), "event");
    check(cudaEventSynchronize(end), "graph");
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, begin, end), "event");
    if (i >= 2) times.push_back(milliseconds);
  }
  std::sort(times.begin(), times.end());
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  cudaGraphExecDestroy(instance);
  cudaGraphDestroy(graph);
  cudaStreamDestroy(stream);
  return static_cast<double>(times[times.size() / 2]) * 1e3 / count;
}

// Bytes a microsecond, read and written.
double copy_bandwidth() {
  constexpr int64_t kBytes = int64_t{1} << 30;
  const DeviceBytes from(kBytes), to(kBytes);
  const double time = time_in_graph(4, [&](int, cudaStream_t stream) {
    check(cudaMemcpyAsync(to.data(), from.data(), kBytes, cudaMemcpyDeviceToDevice, stream),
          "copy");
  });
  return 2.0 * static_cast<double>(kBytes) / time;
}

// Device memory of random bytes, of which each is `of(random)`.
DeviceBytes random_bytes(int64_t bytes, const std::function<uint16_t(std::mt19937&)>& of) {
  std::mt19937 random(7);
  std::vector<uint16_t> block(static_cast<size_t>(std::min<int64_t>(bytes, 4 << 20) / 2));
  for (uint16_t& pair : block) pair = of(random);
  DeviceBytes made(bytes);
  const auto first = static_cast<int64_t>(block.size()) * 2;
  check(cudaMemcpy(made.data(), block.data(), static_cast<size_t>(first), cudaMemcpyHostToDevice),
        "random bytes");
  for (int64_t at = first; at < bytes; at *= 2)
    check(cudaMemcpy(made.data<uint8_t>() + at, made.data(),
                     static_cast<size_t>(std::min(at, bytes - at)), cudaMemcpyDeviceToDevice),
          "random bytes");
  return made;
}

struct Kind {
  const char* name;
  PackedFormat format;
};

constexpr Kind kMxfp8 = {"mxfp8", {Coding::kE4M3, Scaling::kE8M0, 32}};
constexpr Kind kMxfp4 = {"mxfp4", {Coding::kE2M1, Scaling::kE8M0, 32}};
constexpr Kind kNvfp4 = {"nvfp4", {Coding::kE2M1, Scaling::kE4M3, 16}};
constexpr Kind kAffine8 = {"affine 8 g64", {Coding::kUInt8, Scaling::kAffine16, 64}};
constexpr Kind kAffine6 = {"affine 6 g64", {Coding::kUInt6, Scaling::kAffine16, 64}};
constexpr Kind kAffine5 = {"affine 5 g64", {Coding::kUInt5, Scaling::kAffine16, 64}};
constexpr Kind kAffine4 = {"affine 4 g64", {Coding::kUInt4, Scaling::kAffine16, 64}};
constexpr Kind kAffine3 = {"affine 3 g64", {Coding::kUInt3, Scaling::kAffine16, 64}};
constexpr Kind kAffine2 = {"affine 2 g64", {Coding::kUInt2, Scaling::kAffine16, 64}};
constexpr Kind kDense = {"dense bf16", kPackedDense};

Leaves equal_leaves(int inputs, int count) {
  Leaves leaves;
  for (int i = 0; i < count; ++i) leaves.push(inputs / count);
  return leaves;
}

LeafSteps balanced_steps(int inputs, int count) {
  std::vector<int64_t> cuts;
  for (int i = 0; i <= count; ++i) cuts.push_back(int64_t{inputs} / count * i);
  const SumTree tree(cuts);
  const int root[] = {0};
  return steps_of({tree, root});
}

// Matrices one after the other, as many as are cold in turn.
struct Weights {
  PackedShape shape;
  int64_t bytes;  // of one
  int count;
  DeviceBytes codes, scales;

  Weights(const Kind& kind, int rows, int inputs, int leaves)
      : shape{kind.format, rows, equal_leaves(inputs, leaves)},
        bytes(shape.code_bytes() + shape.scale_bytes()),
        count(static_cast<int>(std::max<int64_t>(2, kColdBytes / bytes + 1))) {
    codes = random_bytes(shape.code_bytes() * count, [&](std::mt19937& random) {
      const auto bits = static_cast<uint32_t>(random());
      return static_cast<uint16_t>(kind.format.coding == Coding::kDense ? bits & 0xbfff : bits);
    });
    scales =
        random_bytes(std::max<int64_t>(shape.scale_bytes() * count, 16), [&](std::mt19937& random) {
          const auto bits = static_cast<uint32_t>(random());
          if (kind.format.scaling == Scaling::kE8M0)
            return static_cast<uint16_t>(0x7070 + (bits & 0x0707));
          if (kind.format.scaling == Scaling::kE4M3) return static_cast<uint16_t>(bits);
          return static_cast<uint16_t>(0x3c00 + (bits & 0x80ff));
        });
  }
  PackedWeight get(int index) const {
    const int at = index % count;
    return {shape, codes.data<uint8_t>() + at * shape.code_bytes(),
            scales.data<uint8_t>() + at * shape.scale_bytes(), DType::kBF16};
  }
};

struct Bench {
  FewRowsDevice device = few_rows_device();
  double bandwidth = 0;
  DeviceBytes x = random_bytes(int64_t{32} << 20, [](std::mt19937& random) {
    return static_cast<uint16_t>(0x3f00 + (random() & 0x80ff));
  });
  DeviceBytes out{int64_t{64} << 20};
  DeviceBytes memory{int64_t{256} << 20};

  Bench() { memory.fill(0); }

  FewRowsCall call(const PackedWeight& weight, int rows, int leaves) const {
    const int inputs = weight.shape.leaves.inputs();
    return {weight, x.data(),         DType::kBF16, inputs, rows, balanced_steps(inputs, leaves),
            {},     out.data<float>()};
  }
  void run(const FewRowsInstance* by, const FewRowsCall& of, FewRowsPlace place) const {
    few_rows_by(by, of, device, {memory.data(), memory.size()}, place);
  }
  double time(const Weights& weights, int rows, Order order,
              const FewRowsInstance* by = nullptr) const {
    const int leaves = weights.shape.leaves.count;
    return time_in_graph(std::max(weights.count, 24), [&](int i, cudaStream_t stream) {
      run(by, call(weights.get(i), rows, leaves), {order, stream});
    });
  }
  double share(double bytes, double time) const { return bytes / time / bandwidth; }
};

struct Size {
  int rows, inputs;
};
constexpr Size kLarge[] = {{28672, 8192}, {8192, 28672}};
constexpr Size kOthers[] = {{14336, 4096}, {4096, 14336}, {8192, 8192}, {4096, 4096}};

void bench_products(const Bench& bench) {
  std::printf("\n%-14s %-12s %8s %6s %8s %6s %7s %7s\n", "format", "N x K", "M=1 us", "share",
              "overlap", "share", "M=8", "M=16");
  const auto row = [&](const Kind& kind, Size size, bool all) {
    const Weights weights(kind, size.rows, size.inputs, 16);
    const auto bytes = static_cast<double>(weights.bytes);
    const double one = bench.time(weights, 1, Order::kAfter);
    const double overlapping = bench.time(weights, 1, Order::kOverlapping);
    std::printf("%-14s %-12s %8.2f %6.3f %8.2f %6.3f", kind.name,
                (std::to_string(size.rows) + "x" + std::to_string(size.inputs)).c_str(), one,
                bench.share(bytes, one), overlapping, bench.share(bytes, overlapping));
    if (all)
      std::printf(" %6.2fx %6.2fx", bench.time(weights, 8, Order::kAfter) / one,
                  bench.time(weights, 16, Order::kAfter) / one);
    std::printf("\n");
    std::fflush(stdout);
  };
  for (const Kind& kind : {kMxfp8, kMxfp4, kNvfp4, kAffine8, kAffine4}) {
    for (const Size size : kLarge) row(kind, size, true);
    for (const Size size : kOthers) row(kind, size, false);
  }
  for (const Kind& kind : {kAffine6, kAffine5, kAffine3, kAffine2, kDense})
    for (const Size size : kLarge) row(kind, size, true);
}

void bench_cublas(const Bench& bench) {
  Cublas cublas;
  if (!cublas.there()) {
    std::printf("\nno cuBLAS found\n");
    return;
  }
  std::printf("\ncuBLAS bf16, M=1\n");
  for (const Size size : {kLarge[0], kOthers[0], kOthers[3]}) {
    const Weights weights(kDense, size.rows, size.inputs, 1);
    const double time = time_in_graph(std::max(weights.count, 24), [&](int i, cudaStream_t stream) {
      cublas.multiply(
          {weights.get(i).codes, bench.x.data(), bench.out.data(), size.rows, size.inputs}, stream);
    });
    std::printf("%dx%d %.2f us, share %.3f\n", size.rows, size.inputs, time,
                bench.share(static_cast<double>(weights.bytes), time));
  }
}

void bench_experts(const Bench& bench) {
  constexpr int kExperts = 256, kTop = 8, kWidth = 2048, kHidden = 6144, kCalls = 16;
  std::printf("\n%-14s %3s %10s %6s %10s %6s   %d experts, top %d, %d, %d\n", "format", "M",
              "gate+up us", "share", "down us", "share", kExperts, kTop, kWidth, kHidden);
  for (const Kind& kind : {kMxfp8, kMxfp4}) {
    const auto weights = [&](int rows, int inputs) {
      return PackedShape{kind.format, rows, equal_leaves(inputs, 16)};
    };
    const PackedShape up = weights(2 * kWidth, kHidden), down = weights(kHidden, kWidth);
    const auto codes = [](std::mt19937& random) { return static_cast<uint16_t>(random()); };
    const auto powers = [](std::mt19937& random) {
      return static_cast<uint16_t>(0x7070 + (random() & 0x0707));
    };
    const DeviceBytes up_codes = random_bytes(kExperts * up.code_bytes(), codes),
                      up_scales = random_bytes(kExperts * up.scale_bytes(), powers),
                      down_codes = random_bytes(kExperts * down.code_bytes(), codes),
                      down_scales = random_bytes(kExperts * down.scale_bytes(), powers);
    for (const int tokens : {1, 8}) {
      std::mt19937 random(static_cast<unsigned>(tokens));
      std::vector<int32_t> chosen, source, token;
      std::vector<float> factor;
      double active = 0;  // of all calls
      for (int call = 0; call < kCalls; ++call) {
        std::vector<bool> used(kExperts);
        for (int t = 0; t < tokens; ++t) {
          std::vector<int32_t> experts(kExperts);
          std::iota(experts.begin(), experts.end(), 0);
          std::shuffle(experts.begin(), experts.end(), random);
          std::sort(experts.begin(), experts.begin() + kTop);
          for (int i = 0; i < kTop; ++i) {
            const int32_t expert = experts[static_cast<size_t>(i)];
            chosen.push_back(expert);
            active += used[static_cast<size_t>(expert)] ? 0 : 1;
            used[static_cast<size_t>(expert)] = true;
            if (call == 0) {
              source.push_back(t);
              token.push_back(t);
              factor.push_back(0.1f);
            }
          }
        }
      }
      active /= kCalls;
      const DeviceBytes matrix = DeviceBytes::of(chosen), sources = DeviceBytes::of(source),
                        of_tokens = DeviceBytes::of(token), factors = DeviceBytes::of(factor);
      const auto experts = [&](int call) {
        ExpertRows rows;
        rows.rows = tokens * kTop;
        rows.matrices = kExperts;
        rows.matrix = matrix.data<int32_t>() + call % kCalls * tokens * kTop;
        rows.group_cuts[1] = kExperts;
        return rows;
      };
      const double up_time = time_in_graph(kCalls, [&](int i, cudaStream_t stream) {
        FewRowsCall call =
            bench.call({up, up_codes.data(), up_scales.data(), DType::kBF16}, tokens, 16);
        call.experts = experts(i);
        call.experts.source = sources.data<int32_t>();
        bench.run(nullptr, call, {Order::kAfter, stream});
      });
      const double down_time = time_in_graph(kCalls, [&](int i, cudaStream_t stream) {
        FewRowsCall call = bench.call({down, down_codes.data(), down_scales.data(), DType::kBF16},
                                      tokens * kTop, 16);
        call.experts = experts(i);
        call.experts.token = of_tokens.data<int32_t>();
        call.experts.factor = factors.data<float>();
        call.experts.tokens = tokens;
        bench.run(nullptr, call, {Order::kAfter, stream});
      });
      const auto bytes = [&](const PackedShape& shape) {
        return active * static_cast<double>(shape.code_bytes() + shape.scale_bytes());
      };
      std::printf("%-14s %3d %10.2f %6.3f %10.2f %6.3f   %.1f active\n", kind.name, tokens, up_time,
                  bench.share(bytes(up), up_time), down_time, bench.share(bytes(down), down_time),
                  active);
      std::fflush(stdout);
    }
  }
}

}  // namespace

struct TuningChoice {
  const char* name;
  PackedFormat format;
  FewRowsInstance instance;
};
// Defined where the kernels are compiled.
std::vector<TuningChoice> tuning_choices();

namespace {

void bench_tunings(const Bench& bench) {
  std::printf("\nM=1 shares by tuning (warps, stages, bytes)  %10s %10s %10s %10s\n", "28672x8192",
              "8192x28672", "8192x8192", "4096x4096");
  for (const TuningChoice& choice : tuning_choices()) {
    std::printf("%-44s", choice.name);
    for (const Size size : {kLarge[0], kLarge[1], kOthers[2], kOthers[3]}) {
      const Weights weights({"", choice.format}, size.rows, size.inputs, 16);
      const double time = bench.time(weights, 1, Order::kAfter, &choice.instance);
      std::printf(" %10.3f", bench.share(static_cast<double>(weights.bytes), time));
    }
    std::printf("\n");
    std::fflush(stdout);
  }
}

int bench_all() {
  cudaDeviceProp properties;
  check(cudaGetDeviceProperties(&properties, 0), "device");
  Bench bench;
  bench.bandwidth = copy_bandwidth();
  std::printf("%s, %d multiprocessors, copies read and write %.3f TB/s\n", properties.name,
              properties.multiProcessorCount, bench.bandwidth / 1e6);
  bench_cublas(bench);
  bench_tunings(bench);
  bench_experts(bench);
  bench_products(bench);
  std::printf("copies again: %.3f TB/s\n", copy_bandwidth() / 1e6);
  return 0;
}

}  // namespace
}  // namespace strake::cuda

int main() {
  try {
    return strake::cuda::bench_all();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
