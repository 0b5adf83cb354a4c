// Times of attention and its neighbours on one GPU, beside a copy's bandwidth in the same run.
//
// Caches rotate over at least 400 MB, so that none is in the processor's own cache; launches are
// captured in a graph; times are medians of its replays over the launches in it.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <vector>

#include "ops/cuda/attention.h"
#include "ops/cuda/launch.h"
#include "ops/cuda/norms.h"
#include "ops/cuda/routing.h"
#include "ops/cuda/sampling.h"
#include "ops/cuda/select_keys.h"

namespace strake::cuda {
namespace {

constexpr int64_t kColdBytes = 400 << 20;

struct Freed {
  std::vector<void*> all;
  ~Freed() {
    for (void* const memory : all) cudaFree(memory);
  }
  template <class T>
  T* make(int64_t count) {
    void* memory = nullptr;
    check(cudaMalloc(&memory, static_cast<size_t>(std::max<int64_t>(count, 1)) * sizeof(T)),
          "cudaMalloc");
    all.push_back(memory);
    return static_cast<T*>(memory);
  }
  template <class T>
  T* make(const std::vector<T>& values) {
    T* const memory = make<T>(static_cast<int64_t>(values.size()));
    check(cudaMemcpy(memory, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice),
          "cudaMemcpy");
    return memory;
  }
};

__device__ float noise(int64_t i) {
  auto bits = static_cast<uint32_t>(i * 2654435761u + 12345u);
  bits ^= bits >> 15;
  bits *= 2246822519u;
  bits ^= bits >> 13;
  return static_cast<float>(bits) * 0x1p-31f - 1.0f;
}
template <class T>
__global__ void fill_kernel(T* to, int64_t count, int64_t seed) {
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count;
       i += int64_t{gridDim.x} * blockDim.x)
    to[i] = from_float<T>(noise(i + seed));
}
template <class T>
void fill(T* to, int64_t count, int64_t seed = 0) {
  launch({"fill", 1024, 256}, fill_kernel<T>, to, count, seed);
}

// Microseconds of one of `launches`, which `body(i)` starts on the stream.
double time(int launches, const std::function<void(int, cudaStream_t)>& body) {
  cudaStream_t stream;
  check(cudaStreamCreate(&stream), "cudaStreamCreate");
  for (int i = 0; i < launches; ++i) body(i, stream);
  check(cudaStreamSynchronize(stream), "warming up");
  cudaGraph_t graph;
  cudaGraphExec_t run;
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capture");
  for (int i = 0; i < launches; ++i) body(i, stream);
  check(cudaStreamEndCapture(stream, &graph), "capture");
  check(cudaGraphInstantiate(&run, graph, 0), "cudaGraphInstantiate");
  cudaEvent_t begin, end;
  check(cudaEventCreate(&begin), "cudaEventCreate");
  check(cudaEventCreate(&end), "cudaEventCreate");
  std::vector<float> times;
  for (int i = 0; i < 15; ++i) {
    check(cudaEventRecord(begin, stream), "cudaEventRecord");
    check(cudaGraphLaunch(run, stream), "cudaGraphLaunch");
    check(cudaEventRecord(end, stream), "cudaEventRecord");
    check(cudaEventSynchronize(end), "the graph");
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, begin, end), "cudaEventElapsedTime");
    if (i >= 3) times.push_back(milliseconds);
  }
  std::nth_element(times.begin(), times.begin() + static_cast<int64_t>(times.size() / 2),
                   times.end());
  cudaGraphExecDestroy(run);
  cudaGraphDestroy(graph);
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  cudaStreamDestroy(stream);
  return 1000.0 * times[times.size() / 2] / launches;
}

// Bytes read and written a second, in 1e9.
double copy_bandwidth() {
  Freed memory;
  const int64_t bytes = 1 << 30;
  auto* const from = memory.make<uint8_t>(bytes);
  auto* const to = memory.make<uint8_t>(bytes);
  fill(reinterpret_cast<float*>(from), bytes / 4);
  const double us = time(4, [&](int, cudaStream_t stream) {
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream), "copy");
  });
  return 2e-3 * static_cast<double>(bytes) / us;
}

struct Decode {
  const char* name;
  int64_t context;
  int64_t heads, cached_heads, width, value_width;
  int64_t sequences = 1;
  int64_t window = 0;
  int64_t selected = 0;
  int64_t tokens = 1;
};

using Half = __nv_bfloat16;

void bench_decode(const Decode& d, double bandwidth) {
  Freed memory;
  const bool latent = d.cached_heads == 1 && d.width != d.value_width;
  const int64_t key_elements = d.cached_heads * d.context * d.width;
  const int64_t value_elements = latent ? 0 : d.cached_heads * d.context * d.value_width;
  const int64_t read = d.selected > 0 ? d.selected * d.width
                       : d.window > 0 ? (key_elements + value_elements) / d.context * d.window
                                      : key_elements + value_elements;
  const int64_t bytes = 2 * d.sequences * read;
  const int64_t sets = std::max<int64_t>(
      2, (kColdBytes + 1) / (2 * d.sequences * (key_elements + value_elements)) + 1);
  auto* const elements = memory.make<Half>(sets * d.sequences * (key_elements + value_elements));
  fill(elements, sets * d.sequences * (key_elements + value_elements));
  std::vector<CachedSequence> caches;
  for (int64_t i = 0; i < sets * d.sequences; ++i) {
    Half* const keys = elements + i * (key_elements + value_elements);
    CachedSequence cache{{keys}, {keys + key_elements}, d.context};
    if (latent) cache.values = cache.keys;
    caches.push_back(cache);
  }
  const CachedSequence* const device_caches = memory.make(caches);
  const int64_t rows = d.sequences * d.tokens;
  const int32_t* const positions = memory.make(std::vector<int32_t>(
      static_cast<size_t>(d.sequences), static_cast<int32_t>(d.context - d.tokens)));
  auto* const q = memory.make<Half>(rows * d.heads * d.width);
  fill(q, rows * d.heads * d.width, 77);
  auto* const out = memory.make<Half>(rows * d.heads * d.value_width);
  std::vector<int32_t> selected;
  for (int64_t i = 0; i < rows * d.selected; ++i)
    selected.push_back(static_cast<int32_t>(i % d.selected * d.context / d.selected));
  const int32_t* const device_selected = memory.make(selected);
  AttentionShape shape{};
  shape.dtype = DType::kBF16;
  shape.heads = d.heads;
  shape.cached_heads = d.cached_heads;
  shape.largest_group = d.heads / d.cached_heads;
  shape.width = d.width;
  shape.value_width = d.value_width;
  shape.value_stride = latent ? d.width : d.value_width;
  shape.positions = d.context;
  shape.window = d.window;
  shape.selected = d.selected;
  auto* const workspace =
      memory.make<uint8_t>(static_cast<int64_t>(attention_workspace(shape, d.tokens, d.sequences)));
  const double us = time(static_cast<int>(sets), [&](int i, cudaStream_t stream) {
    AttentionOperands operands{};
    operands.q = q;
    operands.caches = device_caches + i * d.sequences;
    operands.scale = 0.1f;
    operands.selected = d.selected > 0 ? device_selected : nullptr;
    operands.out = out;
    operands.workspace = workspace;
    attention(shape, operands, {positions, d.tokens, d.sequences}, stream);
  });
  const double pairs =
      d.tokens > 1 ? static_cast<double>(d.tokens) * (d.context - d.tokens / 2.0) : d.context;
  const double flops = 2.0 * d.sequences * d.heads * pairs * (d.width + d.value_width);
  std::printf("%-34s %9.2f us %8.0f GB/s  share %.3f %8.1f TFLOP/s\n", d.name, us,
              1e-3 * static_cast<double>(bytes) / us,
              1e-3 * static_cast<double>(bytes) / us / bandwidth, 1e-6 * flops / us);
  std::fflush(stdout);
}

void bench_others() {
  Freed memory;
  const int64_t width = 8192, vocabulary = 128256;
  auto* const x = memory.make<float>(64 * width);
  auto* const out = memory.make<Half>(64 * width);
  auto* const weight = memory.make<float>(width);
  fill(x, 64 * width);
  fill(weight, width);
  for (const int64_t rows : {1, 64})
    std::printf("rms_norm %2ld x 8192                %9.2f us\n", static_cast<long>(rows),
                time(20, [&](int, cudaStream_t stream) {
                  rms_norm({x, rows, width}, {weight, DType::kF32, nullptr, DType::kF32, 1e-5f},
                           {out, DType::kBF16}, stream);
                }));
  auto* const logits = memory.make<float>(8 * vocabulary);
  fill(logits, 8 * vocabulary);
  auto* const tokens = memory.make<int32_t>(64);
  const LogitRows one{logits, 1, vocabulary};
  auto* const workspace = memory.make<uint8_t>(1 << 20);
  std::printf("argmax of 128256                   %9.2f us\n",
              time(20, [&](int, cudaStream_t stream) { argmax(one, workspace, tokens, stream); }));
  const float* const uniforms = memory.make(std::vector<float>(8, 0.7f));
  const std::pair<const char*, SamplingRule> rules[] = {
      {"sample: temperature", {1.0f}},
      {"sample: top_p 0.9", {1.0f, 0.9f}},
      {"sample: top_k 40", {1.0f, 1.0f, 0, 1, 40}},
      {"sample: min_p 0.05", {1.0f, 1.0f, 0.05f}}};
  for (const auto& [name, rule] : rules) {
    const SamplingRule* const device = memory.make(std::vector<SamplingRule>(8, rule));
    std::printf("%-34s %9.2f us\n", name, time(20, [&](int, cudaStream_t stream) {
                  sample(one, device, uniforms, tokens, stream);
                }));
  }
  auto* const chosen = memory.make<float>(1 << 16);
  auto* const invalid = memory.make<int32_t>(1);
  const RouteRule rule{
      256, 8, RouteRule::Scores::kSigmoid, RouteRule::Weights::kNormalized, 2.5f, 8, 4, 2};
  for (const int64_t rows : {1, 64})
    std::printf("route %2ld rows, 256 experts         %9.2f us\n", static_cast<long>(rows),
                time(20, [&](int, cudaStream_t stream) {
                  route(rule, logits, weight, rows, {tokens + 0, chosen, invalid}, stream);
                }));
}

void bench_select(int64_t context) {
  Freed memory;
  const IndexShape shape{DType::kBF16, 64, 128, 2048, context};
  const int64_t sets = kColdBytes / (context * 256) + 1;
  auto* const keys = memory.make<Half>(sets * context * 128);
  fill(keys, sets * context * 128);
  std::vector<CachedSequence> caches;
  for (int64_t i = 0; i < sets; ++i) caches.push_back({{keys + i * context * 128}, {}, context});
  const CachedSequence* const device = memory.make(caches);
  const int32_t* const positions =
      memory.make(std::vector<int32_t>{static_cast<int32_t>(context - 1)});
  auto* const q = memory.make<Half>(64 * 128);
  auto* const weights = memory.make<float>(64);
  fill(q, 64 * 128, 5);
  fill(weights, 64, 9);
  auto* const selected = memory.make<int32_t>(2048);
  auto* const workspace =
      memory.make<uint8_t>(static_cast<int64_t>(select_keys_workspace(shape, 1)));
  std::printf("select_keys of %-6ld              %9.2f us\n", static_cast<long>(context),
              time(static_cast<int>(sets), [&](int i, cudaStream_t stream) {
                select_keys(shape, {q, weights, device + i, selected, workspace}, {positions, 1, 1},
                            stream);
              }));
}

int run() {
  cudaDeviceProp device{};
  check(cudaGetDeviceProperties(&device, 0), "the device");
  const double bandwidth = copy_bandwidth();
  std::printf("%s, %d processors, copy %.0f GB/s\n", device.name, device.multiProcessorCount,
              bandwidth);
  const Decode cases[] = {
      {"GQA 32/8 x 128, 8k", 8192, 32, 8, 128, 128},
      {"GQA 32/8 x 128, 32k", 32768, 32, 8, 128, 128},
      {"GQA 32/8 x 128, 128k", 131072, 32, 8, 128, 128},
      {"GQA 64/8 x 128, 8k", 8192, 64, 8, 128, 128},
      {"GQA 16/4 x 128, 8k", 8192, 16, 4, 128, 128},
      {"GQA 32/8 x 128, 2k, 8 sequences", 2048, 32, 8, 128, 128, 8},
      {"GQA 64/8 x 64, 8k", 8192, 64, 8, 64, 64},
      {"GQA 16/8 x 256, 8k", 8192, 16, 8, 256, 256},
      {"GQA 32/8 x 128, 32k, window 4096", 32768, 32, 8, 128, 128, 1, 4096},
      {"latent 128 heads, 8k", 8192, 128, 1, 576, 512},
      {"latent 128 heads, 32k", 32768, 128, 1, 576, 512},
      {"latent 128 heads, 8k, 8 sequences", 8192, 128, 1, 576, 512, 8},
      {"latent 64 heads, 8k", 8192, 64, 1, 576, 512},
      {"latent 64 heads, 32k", 32768, 64, 1, 576, 512},
      {"latent 32 heads, 32k", 32768, 32, 1, 576, 512},
      {"latent 16 heads, 32k", 32768, 16, 1, 576, 512},
      {"latent 64 heads, 2048 of 32k", 32768, 64, 1, 576, 512, 1, 0, 2048},
      {"prefill 2048, 32/8 x 128", 2048, 32, 8, 128, 128, 1, 0, 0, 2048},
      {"prefill 8192, 32/8 x 128", 8192, 32, 8, 128, 128, 1, 0, 0, 8192},
      {"prefill 4096, 64/8 x 64", 4096, 64, 8, 64, 64, 1, 0, 0, 4096},
      {"prefill 4096, 16/8 x 256", 4096, 16, 8, 256, 256, 1, 0, 0, 4096},
      {"prefill 1024, latent 64 heads", 2048, 64, 1, 576, 512, 1, 0, 0, 1024},
  };
  for (const Decode& each : cases) bench_decode(each, bandwidth);
  bench_others();
  bench_select(32768);
  bench_select(131072);
  return 0;
}

}  // namespace
}  // namespace strake::cuda

int main() {
  try {
    return strake::cuda::run();
  } catch (const strake::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
