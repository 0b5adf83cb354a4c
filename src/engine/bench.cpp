#include "engine/bench.h"

#include <algorithm>
#include <chrono>
#include <span>

#include "base/fail.h"
#include "comm/gather.h"
#include "comm/timed_group.h"
#include "engine/generation.h"
#include "engine/probes.h"

namespace strake {
namespace {

using Clock = std::chrono::steady_clock;

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<long>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

double sum(const std::vector<double>& values) {
  double total = 0;
  for (const double value : values) total += value;
  return total;
}

// Samples of the probes, taken on all ranks at once.
class ProbeSamples {
 public:
  ProbeSamples(Group& group, int threads, Backend& backend) : group_(group), backend_(backend) {
    if (backend.device() == Device::cpu()) probes_.emplace(threads, backend.path());
  }

  void take() {
    if (!probes_) {
      bandwidth_.push_back(sum(at_once([&] { return backend_.copy_bandwidth().value(); })));
      return;
    }
    bandwidth_.push_back(sum(at_once([&] { return probes_->read_bandwidth(); })));
    products_.push_back(sum(at_once([&] { return probes_->product_rate(); })));
    adds_.push_back(std::ranges::min(at_once([&] { return probes_->adds_per_cycle(); })));
  }

  void report(BenchResult& result) const {
    result.read_bandwidth = median(bandwidth_);
    if (!probes_) return;
    result.product_rate = median(products_);
    result.adds_per_cycle = median(adds_);
  }

 private:
  template <class Probe>
  std::vector<double> at_once(const Probe& probe) {
    group_.barrier();
    return gather_values(group_, probe());
  }

  Group& group_;
  Backend& backend_;
  std::optional<Probes> probes_;  // of the CPU
  std::vector<double> bandwidth_, products_, adds_;
};

// When rank 0 chose a token, and what it had spent in collectives by then.
struct Moment {
  Clock::time_point time;
  double collective_seconds;
  int64_t collectives;
};

// Generates after one prompt, several times.
class Generations {
 public:
  Generations(Session& session, const TimedGroup& group, int64_t context, int64_t tokens)
      : session_(session),
        group_(group),
        prompt_(spread_ids(context, session.model().vocabulary())),
        cache_(session.make_cache(context + tokens + 1)) {
    options_.max_tokens = tokens + 1;  // the first is chosen from the prompt's logits
  }

  void run() {
    std::vector<Moment> moments{now()};
    std::vector<int32_t> history;
    const auto result = generate(session_.context(), session_.model(), cache_, history, prompt_,
                                 options_, [&](int32_t) {
                                   moments.push_back(now());
                                   return std::nullopt;
                                 });
    logits_hash_ = result.logits_hash;
    prefill_.push_back(result.prefill_seconds);
    // Other ranks choose nothing: theirs is the start alone.
    for (size_t i = 1; i < moments.size(); ++i) {
      const Moment &before = moments[i - 1], &after = moments[i];
      Phase& phase = i == 1 ? first_token_ : step_;
      phase.seconds.push_back(std::chrono::duration<double>(after.time - before.time).count());
      phase.collective.push_back(after.collective_seconds - before.collective_seconds);
      phase.collectives.push_back(static_cast<double>(after.collectives - before.collectives));
    }
  }

  // On rank 0.
  BenchPoint point() const {
    return {.context = static_cast<int64_t>(prompt_.size()),
            .prefill = median(prefill_),
            .first_token = median(first_token_.seconds),
            .first_token_collective = median(first_token_.collective),
            .step = median(step_.seconds),
            .step_collective = median(step_.collective),
            .collectives = median(step_.collectives),
            .logits_hash = logits_hash_};
  }

 private:
  struct Phase {
    std::vector<double> seconds, collective, collectives;
  };
  Moment now() const { return {Clock::now(), group_.seconds(), group_.calls()}; }

  Session& session_;
  const TimedGroup& group_;
  std::vector<int32_t> prompt_;
  SequenceCache cache_;
  GenerationOptions options_;
  std::vector<double> prefill_;
  Phase first_token_, step_;
  uint64_t logits_hash_ = 0;
};

// Enough of both phases for every page and thread to have been used.
void warm_up(Session& session, const TimedGroup& group) {
  Generations(session, group, 32, 4).run();
}

void count_weights(Group& group, const Session& session, BenchResult& result) {
  double bytes = 0;
  for (const LoadedModule& module : session.modules()) {
    bytes += static_cast<double>(module.bytes) * module.read_share;
    if (module.kind == ModuleKind::kLinear || module.kind == ModuleKind::kRouter)
      result.operations_per_token +=
          2 * static_cast<double>(module.shape.elements()) * module.read_share;
  }
  result.bytes_per_token = sum(gather_values(group, bytes));
}

}  // namespace

double BenchResult::prefill_rate(const BenchPoint& point) const {
  return static_cast<double>(point.context) / point.prefill;
}

double BenchResult::decode_rate(const BenchPoint& point) const { return 1 / point.step; }

double BenchResult::bandwidth_share(const BenchPoint& point) const {
  return bytes_per_token / point.step / read_bandwidth;
}

std::optional<double> BenchResult::product_share(const BenchPoint& point) const {
  if (!product_rate) return std::nullopt;
  return operations_per_token * prefill_rate(point) / *product_rate;
}

BenchResult bench(Group& group, const Division& division, std::unique_ptr<ModelSource> source,
                  const SessionOptions& session_options, const BenchOptions& options) {
  TimedGroup timed(group);
  SessionOptions with_cache = session_options;
  with_cache.cache_tokens = std::ranges::max(options.contexts) + options.tokens + 1;
  Session session(timed, division, std::move(source), with_cache);
  BenchResult result{};
  result.ranks = group.size();
  const int threads = session.placements()[static_cast<size_t>(group.rank())].threads;
  result.threads = threads;
  result.path = session.path();
  result.bytes_per_rank = session.bytes_per_rank();
  count_weights(group, session, result);
  ProbeSamples probes(group, threads, session.context().backend);
  warm_up(session, timed);
  probes.take();
  for (const int64_t context : options.contexts) {
    Generations generations(session, timed, context, options.tokens);
    for (int i = 0; i < options.repeats; ++i) {
      generations.run();
      probes.take();
    }
    if (group.rank() == 0) result.points.push_back(generations.point());
  }
  probes.report(result);
  return result;
}

}  // namespace strake
