// Products with few rows: shares of the bandwidth, and what more rows cost.
#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "cuda/bench.h"
#include "cuda/few_rows_tilings.h"
#include "ops/cuda/gpu_weight.h"
#include "ops/cuda/leaf_steps.h"
#include "weights.h"

namespace strake {
namespace {

std::string label_of(const std::optional<Format>& format, const MatrixSize& size) {
  return fmt::format("{:<12} {:>5} x {:<5}", name_of(format), size.outputs, size.inputs);
}

}  // namespace

void bench_few_rows(const CudaBench& bench) {
  const std::vector<int64_t> all_rows = few_rows(bench.options);
  if (all_rows.empty()) return;
  for (const auto& format : parse_formats(bench.options.modes)) {
    const auto backend = make_gpu();
    const RandomWeights random(backend->place());
    for (const MatrixSize& size : bench.options.shapes) {
      const ColdWeights weights(*backend, format, {size.outputs, size.inputs});
      const SumTree tree = SumTree::whole(size.inputs);
      Figures figures;
      double first = 0;
      for (const int64_t rows : all_rows) {
        const Tensor x = random.bf16({rows, size.inputs});
        const double seconds = graph_seconds(*backend, weights.count(),
                                             [&](int i) { backend->matmul(x, weights[i], tree); });
        if (figures.empty()) {
          first = seconds;
          figures = bench.times(static_cast<double>(weights.bytes()), seconds);
          figures[0].name = fmt::format("M={} us", rows);
          continue;
        }
        figures.push_back({fmt::format("M={} us", rows), 1e6 * seconds, 2});
        figures.push_back({fmt::format("/ M={}", all_rows[0]), seconds / first, 2});
      }
      bench.table.row("few rows   " + label_of(format, size), figures);
    }
  }
}

void bench_few_rows_tilings(const CudaBench& bench) {
  const auto formats = parse_formats(bench.options.modes);
  for (const cuda::FewRowsTiling& tiling : cuda::few_rows_tilings()) {
    if (std::ranges::find(formats, std::optional(tiling.format)) == formats.end()) continue;
    const auto backend = make_gpu();
    const cuda::FewRowsDevice device = cuda::few_rows_device();
    Figures shares;
    for (const MatrixSize& size : bench.options.shapes) {
      const ColdWeights weights(*backend, tiling.format, {size.outputs, size.inputs});
      const Tensor x = RandomWeights(backend->place()).bf16({1, size.inputs});
      Tensor out = x.beside(DType::kF32, {1, size.outputs});
      // Enough for the sums of all leaves.
      Tensor memory = Tensor::zeros(
          DType::kU8, {(size.outputs + cuda::kTileRows) * cuda::kMaxLeaves * 4 + (1 << 20)},
          backend->place());
      const double seconds = graph_seconds(*backend, weights.count(), [&](int i) {
        const cuda::GpuWeight& weight = cuda::as_gpu_weight(weights[i]);
        const cuda::FewRowsCall call{.weight = weight.packed(),
                                     .x = x.bytes().data(),
                                     .x_dtype = x.dtype(),
                                     .x_stride = size.inputs,
                                     .x_rows = 1,
                                     .steps = cuda::steps_of(weight.sums()),
                                     .out = reinterpret_cast<float*>(out.mutable_bytes().data())};
        few_rows_by(&tiling.instance, call, device,
                    {memory.mutable_bytes().data(), memory.nbytes()},
                    {cuda::Order::kAfter, cudaStreamPerThread});
      });
      shares.push_back({fmt::format("{} x {}", size.outputs, size.inputs),
                        bench.share(static_cast<double>(weights.bytes()), seconds), 3});
    }
    bench.table.row(fmt::format("few rows   {} share, {}", name_of(tiling.format), tiling.name),
                    shares);
  }
}

}  // namespace strake
