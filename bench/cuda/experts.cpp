// Experts as a model's decode step asks for them: shares of what the chosen ones' bytes would take.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <random>
#include <set>
#include <vector>

#include "cuda/bench.h"
#include "weights.h"

namespace strake {
namespace {

constexpr int64_t kExperts = 256, kChosen = 8, kWidth = 2048, kHidden = 6144;
constexpr int kCalls = 16;  // which choose their experts each for itself
constexpr int kRoot[] = {0};
constexpr HeldRows kHeld[] = {{0, kExperts, 0, 0}};
constexpr RoutingRule kRule{.experts = kExperts,
                            .chosen = kChosen,
                            .scores = RoutingRule::Scores::kSigmoid,
                            .weights = RoutingRule::Weights::kNormalized};

void await(const std::function<bool()>& done) {
  while (!done()) {
  }
}

// The experts' layer, by its backend's operations.
class Layer {
 public:
  Layer(Backend& backend, const std::optional<Format>& format)
      : backend_(backend),
        random_(backend.place()),
        gate_(stack(format, kWidth, whole_)),
        up_(stack(format, kWidth, whole_)),
        gate_up_bytes_(bytes_),
        down_(stack(format, kHidden, divided_)) {}

  // Of all experts, as a checkpoint stores them.
  int64_t gate_up_bytes() const { return gate_up_bytes_; }
  int64_t down_bytes() const { return bytes_ - gate_up_bytes_; }

  std::array<Tensor, 2> gate_up(const Tensor& x, const DispatchedRows& rows) const {
    JointProduct products[] = {{gate_, DType::kBF16}, {up_, DType::kBF16}};
    backend_.gather_matmul_each(x, products, rows, whole_);
    return {*products[0].result, *products[1].result};
  }
  void down(const Tensor& x, const DispatchedRows& rows) const {
    backend_.mix_matmul(x, down_, rows, AxisSums{Mixture::Axis::kInputs, {divided_, kRoot}});
  }
  void forward(const Tensor& x, const Tensor& logits) const {
    const auto rows = backend_.dispatch(backend_.route(logits, kRule, {}), kHeld, await);
    const auto [gate, up] = gate_up(x, *rows);
    down(backend_.gated(gate, up, Activation::kSilu), *rows);
  }

 private:
  Weight stack(const std::optional<Format>& format, int64_t outputs, const SumTree& tree) {
    Weight weight = random_.make(format, {kExperts, outputs, tree.extent()});
    bytes_ += weight.nbytes();
    return backend_.prepare(std::move(weight), {tree, kRoot});
  }

  Backend& backend_;
  RandomWeights random_;
  SumTree whole_ = SumTree::whole(kHidden);
  SumTree divided_ = divided_tree(kWidth);
  int64_t bytes_ = 0;  // of the stacks made so far
  Weight gate_, up_;
  int64_t gate_up_bytes_;
  Weight down_;
};

Tensor random_logits(std::mt19937_64& random, int64_t tokens, const Place& place) {
  std::normal_distribution<float> normal;
  std::vector<float> logits(static_cast<size_t>(tokens * kExperts));
  for (float& logit : logits) logit = normal(random);
  return Tensor::from<float>(logits, {tokens, kExperts}).at(place);
}

void bench_layer(const CudaBench& bench, Backend& backend, const std::optional<Format>& format) {
  const Layer layer(backend, format);
  const RandomWeights random(backend.place());
  for (const int64_t tokens : bench.options.expert_rows) {
    std::mt19937_64 engine(static_cast<uint64_t>(tokens));
    std::vector<Tensor> logits;
    std::vector<std::shared_ptr<const DispatchedRows>> rows;
    double active = 0;  // experts of a call, on average
    for (int i = 0; i < kCalls; ++i) {
      logits.push_back(random_logits(engine, tokens, backend.place()));
      const Routing routing = backend.route(logits.back(), kRule, {});
      rows.push_back(backend.dispatch(routing, kHeld, await));
      const Tensor experts = routing.experts.on_host(await);
      const auto all = experts.data<int32_t>();
      active += static_cast<double>(std::set(all.begin(), all.end()).size()) / kCalls;
    }
    const Tensor x = random.bf16({tokens, kHidden});
    const Tensor between = random.bf16({tokens * kChosen, kWidth});
    const auto line = [&](const char* what, int64_t bytes, const std::function<void(int)>& call) {
      Figures figures = bench.times(static_cast<double>(bytes) * active / kExperts,
                                    graph_seconds(backend, kCalls, call));
      figures.push_back({"active", active, 1});
      bench.table.row(fmt::format("experts    {:<12} {:<8} M={}", name_of(format), what, tokens),
                      figures);
    };
    const auto of = [&](int call) -> const DispatchedRows& {
      return *rows[static_cast<size_t>(call)];
    };
    line("gate+up", layer.gate_up_bytes(), [&](int i) { layer.gate_up(x, of(i)); });
    line("down", layer.down_bytes(), [&](int i) { layer.down(between, of(i)); });
    line("layer", layer.gate_up_bytes() + layer.down_bytes(),
         [&](int i) { layer.forward(x, logits[static_cast<size_t>(i)]); });
  }
}

}  // namespace

void bench_experts(const CudaBench& bench) {
  if (bench.options.expert_rows.empty()) return;
  for (const auto& format : parse_formats(bench.options.expert_modes)) {
    const auto backend = make_gpu();
    bench_layer(bench, *backend, format);
  }
}

}  // namespace strake
