// Products with many rows, beside cuBLAS's of the same weight in bfloat16.
#include "ops/cuda/many_rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <vector>

#include "cuda/bench.h"
#include "cuda/cublas.h"
#include "ops/cuda/gpu_weight.h"
#include "weights.h"

namespace strake {
namespace {

constexpr int kRoot[] = {0};

double operations(const MatrixSize& size, int64_t rows) {
  return 2.0 * static_cast<double>(size.outputs) * static_cast<double>(size.inputs) *
         static_cast<double>(rows);
}

std::string label_of(const std::string& name, const MatrixSize& size) {
  return fmt::format("many rows  {:<12} {:>5} x {:<5}", name, size.outputs, size.inputs);
}

// Seconds by number of rows.
using Times = std::map<int64_t, double>;

Times cublas_times(const CudaBench& bench, const cuda::Cublas& cublas, const MatrixSize& size) {
  const auto backend = make_gpu();
  const RandomWeights random(backend->place());
  std::vector<Tensor> weights;
  for (int i = cold_sets(size.outputs * size.inputs * 2); i > 0; --i)
    weights.push_back(random.bf16({size.outputs, size.inputs}));
  Times times;
  Figures figures;
  for (const int64_t rows : many_rows(bench.options)) {
    const Tensor x = random.bf16({rows, size.inputs});
    Tensor out = x.beside(DType::kBF16, {rows, size.outputs});
    times[rows] = graph_seconds(*backend, static_cast<int>(weights.size()), [&](int i) {
      cublas.multiply({weights[static_cast<size_t>(i)].bytes().data(), x.bytes().data(),
                       out.mutable_bytes().data(), size.outputs, rows, size.inputs});
    });
    figures.push_back({fmt::format("M={} us", rows), 1e6 * times[rows], 2});
    figures.push_back({"TFLOP/s", 1e-12 * operations(size, rows) / times[rows], 0});
  }
  bench.table.row(label_of("cuBLAS bf16", size), figures);
  return times;
}

Times our_times(const CudaBench& bench, Backend& backend, const ColdWeights& weights,
                const PartialSums& sums) {
  const RandomWeights random(backend.place());
  Times times;
  for (const int64_t rows : many_rows(bench.options)) {
    const Tensor x = random.bf16({rows, sums.tree.extent()});
    times[rows] = graph_seconds(backend, weights.count(),
                                [&](int i) { backend.matmul(x, weights[i], sums); });
  }
  return times;
}

// The least ratios to cuBLAS of a format: along one sum, and of an axis that ranks may divide.
struct Ratios {
  std::map<int64_t, double> one, divided;
};

void keep_least(std::map<int64_t, double>& least, int64_t rows, double ratio) {
  const auto [found, is_new] = least.try_emplace(rows, ratio);
  if (!is_new) found->second = std::min(found->second, ratio);
}

Ratios bench_size(const CudaBench& bench, const std::optional<Format>& format,
                  const MatrixSize& size, const Times& cublas) {
  const auto backend = make_gpu();
  const Shape shape{size.outputs, size.inputs};
  const SumTree whole = SumTree::whole(size.inputs), divided = divided_tree(size.inputs);
  const auto times = [&](const SumTree& tree) {
    const PartialSums sums{tree, kRoot};
    return our_times(bench, *backend, ColdWeights(*backend, format, shape, sums), sums);
  };
  const Times one = times(whole), parts = times(divided);
  Figures figures;
  Ratios ratios;
  for (const auto& [rows, seconds] : one) {
    figures.push_back({fmt::format("M={} us", rows), 1e6 * seconds, 2});
    if (cublas.empty()) {
      figures.push_back({"TFLOP/s", 1e-12 * operations(size, rows) / seconds, 0});
      continue;
    }
    ratios.one[rows] = cublas.at(rows) / seconds;
    ratios.divided[rows] = cublas.at(rows) / parts.at(rows);
    figures.push_back({fmt::format("x cuBLAS {}", rows), ratios.one[rows], 2});
    figures.push_back({"divided", ratios.divided[rows], 2});
  }
  bench.table.row(label_of(name_of(format), size), figures);
  return ratios;
}

}  // namespace

void bench_many_rows(const CudaBench& bench) {
  if (many_rows(bench.options).empty()) return;
  const auto cublas = cuda::Cublas::find();
  if (cublas == nullptr) bench.table.list("many rows  cuBLAS is not here: no ratios", {});
  const auto formats = parse_formats(bench.options.modes);
  std::vector<Ratios> least(formats.size());
  for (const MatrixSize& size : bench.options.shapes) {
    const Times base = cublas ? cublas_times(bench, *cublas, size) : Times{};
    for (size_t i = 0; i < formats.size(); ++i) {
      const Ratios found = bench_size(bench, formats[i], size, base);
      for (const auto& [rows, ratio] : found.one) keep_least(least[i].one, rows, ratio);
      for (const auto& [rows, ratio] : found.divided) keep_least(least[i].divided, rows, ratio);
    }
  }
  if (cublas == nullptr) return;
  for (size_t i = 0; i < formats.size(); ++i) {
    Figures figures;
    for (const auto& [rows, ratio] : least[i].one) {
      figures.push_back({fmt::format("x cuBLAS {}", rows), ratio, 2});
      figures.push_back({fmt::format("divided {}", rows), least[i].divided[rows], 2});
    }
    bench.table.row(fmt::format("many rows  {:<12} least of all shapes", name_of(formats[i])),
                    figures);
  }
}

namespace {

std::vector<cuda::ManyRowsTiling> tilings_for(int64_t rows) {
  std::vector<cuda::ManyRowsTiling> tilings;
  for (const int tokens : {32, 64, 128, 256}) {
    if (tokens > rows || (tokens < 128 && tokens < rows / 2)) continue;
    for (const int share_x : {1, 2})
      for (const int pieces : {1, 2, 4, 8})
        if (share_x == 1 || (pieces == 1 && tokens >= 128))
          tilings.push_back({tokens, share_x, pieces});
    for (const int pieces : {2, 4, 8}) tilings.push_back({tokens, 1, pieces, true});
  }
  return tilings;
}

std::string name_of(const cuda::ManyRowsTiling& tiling) {
  return fmt::format("{}.{}.{}{}", tiling.tokens, tiling.share_x, tiling.pieces,
                     tiling.in_memory ? "m" : "");
}

// All tilings of a product in one order of its sums, the fastest first.
void bench_tilings(const CudaBench& bench, Backend& backend, const ColdWeights& weights,
                   int64_t rows, cuda::LeafOrder order) {
  const PartialSums sums = cuda::as_gpu_weight(weights[0]).sums();
  const int64_t outputs = weights[0].shape()[0], inputs = weights[0].shape()[1];
  const int root = sums.nodes[0];
  const Tensor x = RandomWeights(backend.place()).bf16({rows, inputs});
  Tensor out = x.beside(DType::kF32, {rows, outputs});
  const cuda::ManyRowsActivations activations{x.bytes().data(), x.dtype(), inputs, rows};
  const cuda::ManyRowsDevice device = cuda::many_rows_device();
  Tensor workspace =
      Tensor::zeros(DType::kU8, {cuda::many_rows_workspace_bytes(device)}, backend.place());
  const cuda::ManyRowsSize size{rows, outputs, device.multiprocessors, true};
  Figures figures;
  for (const cuda::ManyRowsTiling& tiling : tilings_for(rows)) {
    const auto schedule =
        cuda::many_rows_schedule(sums.tree, root, {}, tiling.pieces, {order, rows});
    if (!schedule || !can_have(tiling, *schedule)) continue;
    if (tiling.in_memory && !can_meet_in_memory(tiling, size)) continue;
    const double seconds = graph_seconds(backend, weights.count(), [&](int i) {
      const cuda::PackedWeight w = cuda::as_gpu_weight(weights[i]).packed();
      many_rows_wgmma({.w = w,
                       .x = activations,
                       .out = out.mutable_bytes().data(),
                       .device = device,
                       .stream = cudaStreamPerThread,
                       .workspace = reinterpret_cast<float*>(workspace.mutable_bytes().data())},
                      {sums.tree, root, {}, order}, tiling);
    });
    figures.push_back({name_of(tiling), 1e6 * seconds, 1});
  }
  std::ranges::stable_sort(figures, {}, &Figure::value);
  const auto chosen = choose_tiling(size, sums.tree, root, order);
  bench.table.list(fmt::format("{:<12} {:>5} x {:<5} M={:<4} {}, chosen {}; us:",
                               strake::name_of(weights[0].format()), outputs, inputs, rows,
                               order == cuda::LeafOrder::kChain ? "chain" : "tree",
                               chosen ? name_of(*chosen) : "none"),
                   figures);
}

}  // namespace

void bench_many_rows_tilings(const CudaBench& bench) {
  if (!cuda::many_rows_device().has_wgmma)
    throw Error(ErrorKind::kUnsupported, "--tilings: a GPU of compute capability 9.0 expected");
  for (const auto& format : parse_formats(bench.options.modes)) {
    const auto backend = make_gpu();
    for (const MatrixSize& size : bench.options.shapes) {
      const ColdWeights weights(*backend, format, {size.outputs, size.inputs});
      for (const int64_t rows : many_rows(bench.options))
        for (const auto order : {cuda::LeafOrder::kChain, cuda::LeafOrder::kTree})
          bench_tilings(bench, *backend, weights, rows, order);
    }
  }
}

}  // namespace strake
