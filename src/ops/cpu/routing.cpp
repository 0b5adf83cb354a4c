// Which experts each token goes to, decided on the host.
#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <numeric>

#include "base/recycled.h"
#include "ops/cpu/cpu_backend.h"
#include "ops/host_rows.h"

namespace strake::cpu {
namespace {

// exp(x) in plain double arithmetic, within two units of the last place: a library's differs from
// processor to processor. 0 below the range.
double exp_everywhere(double x) {
  constexpr double kLn2High = 0x1.62e42feep-1;  // n times it is exact
  constexpr double kLn2Low = 0x1.a39ef35793c76p-33;
  if (x < -700) return 0;
  if (x > 700) x = 700;
  const double n = std::floor(x * 0x1.71547652b82fep+0 + 0.5);
  const double r = (x - n * kLn2High) - n * kLn2Low;
  double sum = 1;
  for (int i = 14; i > 0; --i) sum = 1 + sum * r / i;  // Taylor's, |r| <= ln 2 / 2
  return std::ldexp(sum, static_cast<int>(n));
}

// The `count` largest of `values` among `from`, in ascending order of their indices; of equal ones
// those that stand first.
void keep_largest(std::span<const float> values, int64_t count, Recycled<int32_t>& from) {
  std::partial_sort(from.begin(), from.begin() + count, from.end(), [&](int32_t a, int32_t b) {
    const float x = values[static_cast<size_t>(a)], y = values[static_cast<size_t>(b)];
    return x > y || (x == y && a < b);
  });
  from.resize(static_cast<size_t>(count));
  std::sort(from.begin(), from.end());
}

// Decides row after row, in memory that is made once.
class RowRouter {
 public:
  RowRouter(const RoutingRule& rule, std::span<const float> correction)
      : rule_(rule),
        correction_(correction),
        scores_(static_cast<size_t>(rule.experts)),
        choice_(static_cast<size_t>(rule.experts)) {}

  // The row's experts and their weights, `chosen` each.
  void decide(std::span<const float> logits, int32_t* experts, float* weights) {
    if (std::ranges::any_of(logits, [](float x) { return std::isnan(x); })) refuse_routing();
    score(logits);
    choose();
    float sum = 0;
    for (const int32_t expert : chosen_) sum += scores_[static_cast<size_t>(expert)];
    // As the reference implementations have it: all scores may be 0.
    const float divisor = rule_.weights == RoutingRule::Weights::kNormalized ? sum + 1e-20f : 1.0f;
    for (const int32_t expert : chosen_) {
      *experts++ = expert;
      *weights++ = scores_[static_cast<size_t>(expert)] / divisor * rule_.scale;
    }
  }

 private:
  void score(std::span<const float> logits) {
    switch (rule_.scores) {
      case RoutingRule::Scores::kSoftmax:
        iota(rule_.experts, chosen_);
        softmax(logits);
        break;
      case RoutingRule::Scores::kSoftmaxOfChosen:
        iota(rule_.experts, chosen_);
        keep_largest(logits, rule_.chosen, chosen_);
        softmax(logits);
        return;
      case RoutingRule::Scores::kSigmoid:
        std::ranges::transform(logits, scores_.begin(), [](float x) {
          return static_cast<float>(1 / (1 + exp_everywhere(-double{x})));
        });
        break;
    }
    choice_ = scores_;
    for (size_t i = 0; i < correction_.size(); ++i) choice_[i] += correction_[i];
  }

  // Of the logits of `chosen_`.
  void softmax(std::span<const float> logits) {
    float largest = logits[static_cast<size_t>(chosen_.front())];
    for (const int32_t i : chosen_) largest = std::max(largest, logits[static_cast<size_t>(i)]);
    double sum = 0;
    for (const int32_t i : chosen_)
      sum += exp_everywhere(double{logits[static_cast<size_t>(i)]} - double{largest});
    for (const int32_t i : chosen_)
      scores_[static_cast<size_t>(i)] = static_cast<float>(
          exp_everywhere(double{logits[static_cast<size_t>(i)]} - double{largest}) / sum);
  }

  void choose() {
    if (rule_.scores == RoutingRule::Scores::kSoftmaxOfChosen) return;
    if (rule_.groups > 1) leave_best_groups();
    iota(rule_.experts, chosen_);
    keep_largest(choice_, rule_.chosen, chosen_);
  }

  // The experts of other groups count as 0, as the reference implementations have it: where what is
  // left is negative, they are chosen all the same.
  void leave_best_groups() {
    const auto size = static_cast<size_t>(rule_.experts / rule_.groups);
    group_scores_.clear();
    for (size_t first = 0; first < choice_.size(); first += size) {
      members_.assign(choice_.begin() + static_cast<long>(first),
                      choice_.begin() + static_cast<long>(first + size));
      const auto terms = members_.begin() + rule_.group_terms;
      std::partial_sort(members_.begin(), terms, members_.end(), std::greater<>());
      group_scores_.push_back(std::accumulate(members_.begin(), terms, 0.0f));
    }
    iota(rule_.groups, best_);
    keep_largest(group_scores_, rule_.chosen_groups, best_);
    for (size_t i = 0; i < choice_.size(); ++i)
      if (!std::ranges::binary_search(best_, static_cast<int32_t>(i / size))) choice_[i] = 0;
  }

  static void iota(int64_t count, Recycled<int32_t>& indices) {
    indices.resize(static_cast<size_t>(count));
    std::iota(indices.begin(), indices.end(), 0);
  }

  const RoutingRule& rule_;
  std::span<const float> correction_;
  Recycled<float> scores_;  // of the experts
  Recycled<float> choice_;  // what they are chosen by
  Recycled<float> group_scores_, members_;
  Recycled<int32_t> chosen_, best_;
};

}  // namespace

Routing CpuBackend::do_route(const Tensor& logits, const RoutingRule& rule,
                             std::span<const float> correction) {
  const int64_t rows = logits.shape()[0];
  Routing result{Tensor::empty(DType::kI32, {rows, rule.chosen}),
                 Tensor::empty(DType::kF32, {rows, rule.chosen})};
  const auto all = logits.data<float>();
  const auto width = static_cast<size_t>(rule.experts);
  int32_t* const experts = result.experts.mutable_data<int32_t>().data();
  float* const weights = result.weights.mutable_data<float>().data();
  RowRouter router(rule, correction);
  for (int64_t row = 0; row < rows; ++row)
    router.decide(all.subspan(static_cast<size_t>(row) * width, width), experts + row * rule.chosen,
                  weights + row * rule.chosen);
  return result;
}

std::shared_ptr<const DispatchedRows> CpuBackend::do_dispatch(const Routing& routing,
                                                              std::span<const HeldRows> held,
                                                              const Await& /*await*/) {
  const auto rows = std::allocate_shared<HostRows>(RecyclingAllocator<HostRows>(), routing.rows());
  rows->add(routing, held, HostRows::Others::kLeftOut);
  return rows;
}

Tensor CpuBackend::do_spread_weights(const Routing& routing, int64_t experts) {
  Tensor weights = Tensor::zeros(DType::kF32, {routing.rows(), experts});
  const auto chosen = routing.experts.data<int32_t>();
  const auto from = routing.weights.data<float>();
  const auto to = weights.mutable_data<float>();
  for (size_t i = 0; i < chosen.size(); ++i) {
    const auto row = static_cast<int64_t>(i) / routing.chosen();
    to[static_cast<size_t>(row * experts + chosen[i])] = from[i];
  }
  return weights;
}

}  // namespace strake::cpu
