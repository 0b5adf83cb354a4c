// Time of products with many rows beside cuBLAS's on bfloat16 weights.
//
//   many_rows [--tilings] [FILE]    FILE gets every measurement; --tilings tries those worth it
//
// Cold weights: copies that together have 400 MB take turns. Launches are replayed in CUDA graphs,
// times are medians of replays.
#include "ops/cuda/many_rows.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "bench/cuda/cublas.h"
#include "ops/cuda/launch.h"

namespace strake::cuda {
namespace {

constexpr int64_t kColdBytes = int64_t{400} << 20;
constexpr int64_t kPoolBytes = int64_t{960} << 20;
constexpr double kBatchSeconds = 3e-3;
constexpr int kReplays = 3;
constexpr int kMostTokens = 2048;

struct Shape2 {
  int outputs;
  int inputs;
};
constexpr Shape2 kShapes[] = {{28672, 8192}, {8192, 28672}, {14336, 4096},
                              {4096, 14336}, {8192, 8192},  {4096, 4096}};
constexpr int kTokens[] = {32, 64, 128, 512, 2048};

struct Kind {
  const char* name;
  PackedFormat format;
  DType type;
};
constexpr Kind kKinds[] = {
    {"mxfp8", {Coding::kE4M3, Scaling::kE8M0, 32}, DType::kU8},
    {"mxfp4", {Coding::kE2M1, Scaling::kE8M0, 32}, DType::kU8},
    {"nvfp4", {Coding::kE2M1, Scaling::kE4M3, 16}, DType::kU8},
    {"affine2", {Coding::kUInt2, Scaling::kAffine16, 64}, DType::kBF16},
    {"affine3", {Coding::kUInt3, Scaling::kAffine16, 64}, DType::kBF16},
    {"affine4", {Coding::kUInt4, Scaling::kAffine16, 64}, DType::kBF16},
    {"affine5", {Coding::kUInt5, Scaling::kAffine16, 64}, DType::kBF16},
    {"affine6", {Coding::kUInt6, Scaling::kAffine16, 64}, DType::kBF16},
    {"affine8", {Coding::kUInt8, Scaling::kAffine16, 64}, DType::kBF16},
};

uint8_t* device_bytes(int64_t bytes) {
  void* data = nullptr;
  check(cudaMalloc(&data, static_cast<size_t>(bytes)), "cudaMalloc");
  return static_cast<uint8_t*>(data);
}

// Device memory that repeats what `make` gives for each 16 bits.
template <class Make>
uint8_t* pool(int64_t bytes, Make&& make) {
  std::vector<uint16_t> words(size_t{8} << 20);
  for (uint16_t& word : words) word = make();
  uint8_t* const data = device_bytes(bytes);
  const auto chunk = static_cast<int64_t>(words.size()) * 2;
  for (int64_t at = 0; at < bytes; at += chunk)
    check(cudaMemcpy(data + at, words.data(), static_cast<size_t>(std::min(chunk, bytes - at)),
                     cudaMemcpyHostToDevice),
          "fill");
  return data;
}

struct Memory {
  uint8_t* codes;
  uint8_t* dense;  // bfloat16 weights
  uint8_t* affine;
  uint8_t* powers;
  uint8_t* e4m3;
  uint8_t* x;
  uint8_t* out;

  explicit Memory(std::mt19937& rng) {
    const auto bf16 = [&] {
      return static_cast<uint16_t>((rng() & 0x8000) | (0x3c00 + rng() % 0x200));
    };
    codes = pool(kPoolBytes, [&] { return static_cast<uint16_t>(rng()); });
    dense = pool(kPoolBytes, bf16);
    affine = pool(int64_t{128} << 20, bf16);
    powers = pool(int64_t{64} << 20, [&] {
      return static_cast<uint16_t>((118 + rng() % 5) | (118 + rng() % 5) << 8);
    });
    e4m3 = pool(int64_t{128} << 20, [&] { return static_cast<uint16_t>(rng() & 0x3f3f); });
    x = pool(int64_t{kMostTokens} * 28672 * 2, bf16);
    out = device_bytes(int64_t{kMostTokens} * 28672 * 4 * 2);
  }
  const uint8_t* scales(Scaling scaling) const {
    if (scaling == Scaling::kE8M0) return powers;
    return scaling == Scaling::kE4M3 ? e4m3 : affine;
  }
};

// Seconds of one launch; launch(i) starts the i-th.
template <class Launch>
double seconds(cudaStream_t stream, int64_t weight_bytes, Launch&& launch) {
  cudaEvent_t begin, end;
  check(cudaEventCreate(&begin), "event");
  check(cudaEventCreate(&end), "event");
  const auto between = [&](auto&& work) {
    check(cudaEventRecord(begin, stream), "event");
    work();
    check(cudaEventRecord(end, stream), "event");
    check(cudaEventSynchronize(end), "run");
    float ms = 0;
    check(cudaEventElapsedTime(&ms, begin, end), "event");
    return static_cast<double>(ms) * 1e-3;
  };
  launch(0);
  const double once = between([&] { launch(1); });
  const auto copies = static_cast<int>(std::max<int64_t>(1, kColdBytes / weight_bytes));
  const int count = std::max({copies, 2, static_cast<int>(kBatchSeconds / once)});
  cudaGraph_t graph;
  cudaGraphExec_t runnable;
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capture");
  for (int i = 0; i < count; ++i) launch(i);
  check(cudaStreamEndCapture(stream, &graph), "capture");
  check(cudaGraphInstantiate(&runnable, graph, 0), "graph");
  std::vector<double> times;
  for (int i = 0; i <= kReplays; ++i) {
    const double time = between([&] { check(cudaGraphLaunch(runnable, stream), "graph"); });
    if (i > 0) times.push_back(time / count);
  }
  cudaGraphExecDestroy(runnable);
  cudaGraphDestroy(graph);
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

SumTree tree_of(int inputs, int leaves) {
  std::vector<int64_t> cuts;
  for (int i = 0; i <= leaves; ++i) cuts.push_back(int64_t{inputs} / leaves * i);
  return SumTree(cuts);
}

Leaves leaves_of(int inputs, int count) {
  Leaves leaves;
  for (int i = 0; i < count; ++i) leaves.push(inputs / count);
  return leaves;
}

class Bench {
 public:
  explicit Bench(const char* file)
      : memory_(rng_), cublas_(int64_t{64} << 20), device_(many_rows_device()) {
    if (file != nullptr) log_.open(file);
    check(cudaStreamCreate(&stream_), "stream");
  }

  double cublas(Shape2 shape, int tokens) {
    const int64_t bytes = int64_t{shape.outputs} * shape.inputs * 2;
    const int64_t copies = std::max<int64_t>(1, kColdBytes / bytes);
    return seconds(stream_, bytes, [&](int i) {
      cublas_.multiply({memory_.dense + i % copies * bytes, memory_.x, memory_.out, shape.outputs,
                        tokens, shape.inputs},
                       stream_);
    });
  }

  // 0 where the tiling cannot be.
  double ours(const Kind& kind, Shape2 shape, int tokens, int leaves,
              const ManyRowsTiling* tiling) {
    const SumTree tree = tree_of(shape.inputs, leaves);
    const LeafOrder order = leaves == 1 ? LeafOrder::kChain : LeafOrder::kTree;
    const PackedShape packed{kind.format, shape.outputs, leaves_of(shape.inputs, leaves)};
    const int64_t bytes = packed.code_bytes();
    const int64_t copies = std::max<int64_t>(1, kColdBytes / bytes);
    const ManyRowsActivations x{memory_.x, DType::kBF16, shape.inputs, tokens};
    if (tiling != nullptr) {
      const auto schedule = many_rows_schedule(tree, 0, {}, tiling->pieces, {order, tokens});
      if (!schedule || !can_have(*tiling, *schedule)) return 0;
    }
    return seconds(stream_, bytes, [&](int i) {
      const PackedWeight w{packed, memory_.codes + i % copies * bytes,
                           memory_.scales(kind.format.scaling) + i % copies * packed.scale_bytes(),
                           kind.type, 1.0f};
      const ManyRowsCall call{w, x, reinterpret_cast<float*>(memory_.out), device_, stream_};
      const int nodes[] = {0};
      if (tiling != nullptr)
        many_rows_wgmma(call, {tree, 0, {}, order}, *tiling);
      else
        many_rows(call, {tree, nodes}, order);
    });
  }

  void table() {
    std::map<std::string, std::map<int, double>> least;  // ratio to cuBLAS, of a kind and tokens
    for (const int tokens : kTokens) {
      for (const Shape2 shape : kShapes) {
        const double base = cublas(shape, tokens);
        line("%5d x %5d M %4d cublas %8.2f us %6.1f TFLOP/s", shape.outputs, shape.inputs, tokens,
             base * 1e6, flops(shape, tokens) / base * 1e-12);
        for (const Kind& kind : kKinds) {
          for (const int leaves : {1, 8}) {
            const double time = ours(kind, shape, tokens, leaves, nullptr);
            const ManyRowsSize size{tokens, shape.outputs, device_.multiprocessors};
            const auto tiling = choose_tiling(size, tree_of(shape.inputs, leaves), 0,
                                              leaves == 1 ? LeafOrder::kChain : LeafOrder::kTree);
            line("%5d x %5d M %4d %-8s %d leaves %8.2f us %6.1f TFLOP/s %5.2f of cublas (%d %d %d)",
                 shape.outputs, shape.inputs, tokens, kind.name, leaves, time * 1e6,
                 flops(shape, tokens) / time * 1e-12, base / time, tiling->tokens, tiling->share_x,
                 tiling->pieces);
            double& of = least[std::string(kind.name) + (leaves == 1 ? " 1" : " 8")]
                             .try_emplace(tokens, 1e9)
                             .first->second;
            of = std::min(of, base / time);
          }
        }
      }
    }
    std::printf("\nleast ratio to cuBLAS bf16 over shapes\n%-12s", "kind, leaves");
    for (const int tokens : kTokens) std::printf(" M=%-6d", tokens);
    for (const auto& [name, ratios] : least) {
      std::printf("\n%-12s", name.c_str());
      for (const auto& [tokens, ratio] : ratios) std::printf(" %-8.2f", ratio);
    }
    std::printf("\n");
  }

  void tilings() {
    for (const Kind& kind : {kKinds[0], kKinds[8]})
      for (const Shape2 shape : kShapes)
        for (const int tokens : kTokens)
          for (const int leaves : {1, 8}) best_tiling(kind, shape, tokens, leaves);
  }

  void copy_rate() {
    const int64_t bytes = int64_t{480} << 20;
    const double time = seconds(stream_, bytes, [&](int) {
      check(cudaMemcpyAsync(memory_.codes, memory_.codes + bytes, static_cast<size_t>(bytes),
                            cudaMemcpyDeviceToDevice, stream_),
            "copy");
    });
    line("copy, read and write: %.2f TB/s", 2e-12 * static_cast<double>(bytes) / time);
  }

 private:
  static double flops(Shape2 shape, int tokens) {
    return 2.0 * shape.outputs * shape.inputs * tokens;
  }

  void best_tiling(const Kind& kind, Shape2 shape, int tokens, int leaves) {
    std::string text;
    double best = 1e9;
    for (const int of_tile : {32, 64, 128, 256}) {
      if (of_tile > tokens || (of_tile < 128 && of_tile < tokens / 2)) continue;
      for (const int share_x : {1, 2}) {
        for (const int pieces : {1, 2, 4, 8}) {
          if (share_x > 1 && (pieces > 1 || of_tile < 128)) continue;
          const ManyRowsTiling tiling{of_tile, share_x, pieces};
          const double time = ours(kind, shape, tokens, leaves, &tiling);
          if (time == 0) continue;
          char part[64];
          std::snprintf(part, sizeof part, "%s %d.%d.%d:%.1f", time < best ? " *" : "", of_tile,
                        share_x, pieces, time * 1e6);
          text += part;
          best = std::min(best, time);
        }
      }
    }
    line("%5d x %5d M %4d %-8s %d leaves%s", shape.outputs, shape.inputs, tokens, kind.name, leaves,
         text.c_str());
  }

  template <class... Values>
  void line(const char* format, Values... values) {
    char text[2048];
    std::snprintf(text, sizeof text, format, values...);
    if (log_.is_open())
      log_ << text << std::endl;
    else
      std::puts(text);
  }

  std::mt19937 rng_{std::random_device()()};
  Memory memory_;
  Cublas cublas_;
  ManyRowsDevice device_;
  cudaStream_t stream_ = nullptr;
  std::ofstream log_;
};

}  // namespace
}  // namespace strake::cuda

int main(int argc, char** argv) {
  try {
    bool tilings = false;
    const char* file = nullptr;
    for (int i = 1; i < argc; ++i) {
      if (std::strcmp(argv[i], "--tilings") == 0)
        tilings = true;
      else
        file = argv[i];
    }
    strake::cuda::Bench bench(file);
    bench.copy_rate();
    if (tilings)
      bench.tilings();
    else
      bench.table();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "many_rows: %s\n", error.what());
    return 1;
  }
  return 0;
}
