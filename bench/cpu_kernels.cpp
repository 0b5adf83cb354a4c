// bench_kernels on the CPU: products, and those of experts, beside probes of the same cores.
#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <optional>
#include <random>
#include <vector>

#include "kernel_options.h"
#include "measurements.h"
#include "strake/base/error.h"
#include "strake/ops/backend.h"
#include "weights.h"

namespace strake {
namespace {

constexpr int64_t kExperts = 64, kChosen = 8, kExpertHidden = 2048, kExpertWidth = 1024;

class Bench {
 public:
  explicit Bench(const KernelOptions& options)
      : options_(options),
        backend_(make_backend("cpu", {.threads = options.threads, .path = options.path})),
        measurements_({.engine = fmt::format("path {}", backend_->path()),
                       .path = std::string(backend_->path()),
                       .threads = backend_->threads(),
                       .seconds = options.seconds,
                       .output = options.output}),
        random_(backend_->place()) {}

  void run();

 private:
  void products(const std::optional<Format>& format, const MatrixSize& size);
  void experts(const std::optional<Format>& format);

  const KernelOptions& options_;
  std::unique_ptr<Backend> backend_;
  Measurements measurements_;
  RandomWeights random_;
};

void Bench::products(const std::optional<Format>& format, const MatrixSize& size) {
  if (options_.rows.empty()) return;
  const auto [outputs, inputs] = size;
  const ColdWeights weights(*backend_, format, {outputs, inputs});
  const SumTree tree = SumTree::whole(inputs);
  for (const int64_t rows : options_.rows) {
    const Tensor x = random_.bf16({rows, inputs});
    int64_t turn = 0;
    measurements_.measure({.format = name_of(format),
                           .outputs = outputs,
                           .inputs = inputs,
                           .rows = rows,
                           .bytes = static_cast<double>(weights.bytes()),
                           .operations = 2.0 * static_cast<double>(rows * outputs * inputs)},
                          [&] { backend_->matmul(x, weights[turn++], tree); });
  }
}

void Bench::experts(const std::optional<Format>& format) {
  if (options_.expert_rows.empty()) return;
  const ColdWeights weights(*backend_, format, {kExperts, kExpertWidth, kExpertHidden});
  const SumTree tree = SumTree::whole(kExpertHidden);
  const std::vector<int> root{0};
  for (const int64_t rows : options_.expert_rows) {
    std::mt19937_64 random(3);
    const Tensor x = random_.bf16({rows, kExpertHidden});
    int64_t turn = 0;
    // Each row goes through its own choice of distinct experts.
    std::vector<int32_t> lhs, rhs, all(kExperts);
    std::iota(all.begin(), all.end(), 0);
    std::vector<bool> read(kExperts);
    for (int64_t row = 0; row < rows; ++row) {
      std::ranges::shuffle(all, random);
      for (int64_t i = 0; i < kChosen; ++i) {
        lhs.push_back(static_cast<int32_t>(row));
        rhs.push_back(all[static_cast<size_t>(i)]);
        read[static_cast<size_t>(rhs.back())] = true;
      }
    }
    const double share = static_cast<double>(std::ranges::count(read, true)) / kExperts;
    measurements_.measure(
        {.format = name_of(format),
         .kind = "experts",
         .outputs = kExpertWidth,
         .inputs = kExpertHidden,
         .rows = rows,
         .bytes = share * static_cast<double>(weights.bytes()),
         .operations = 2.0 * static_cast<double>(rows * kChosen * kExpertWidth * kExpertHidden)},
        [&] {
          backend_->gather_matmul(x, weights[turn++], {lhs, rhs}, {tree, root});
        });
  }
}

void Bench::run() {
  for (const auto& format : parse_formats(options_.modes)) {
    for (const MatrixSize& size : options_.shapes) products(format, size);
    experts(format);
  }
}

}  // namespace

void bench_cpu(const KernelOptions& options) {
  if (!options.only.empty() || options.tilings == KernelOptions::Choice::kAll)
    throw Error(ErrorKind::kUsage, "--only and --tilings: --device cuda expected");
  Bench(options).run();
}

}  // namespace strake
