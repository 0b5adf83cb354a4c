#include "engine/verify.h"

#include <algorithm>
#include <optional>

#include "base/fail.h"
#include "base/hash.h"
#include "engine/decoding.h"
#include "strake/comm/thread_group.h"

namespace strake {
namespace {

class HashTrace final : public Trace {
 public:
  void start_step(std::string name) { step_ = std::move(name); }
  void record(std::string_view name, const Tensor& value) override {
    points_.push_back({step_ + ": " + std::string(name), hash_bytes(value.bytes())});
  }
  std::vector<TracePoint> take() { return std::move(points_); }

 private:
  std::string step_;
  std::vector<TracePoint> points_;
};

std::vector<TracePoint> run_traced(Session& session, std::span<const int32_t> prompt,
                                   const VerifyOptions& options) {
  Context context = session.context();
  HashTrace trace;
  context.trace = &trace;
  SequenceCache cache =
      session.make_cache(static_cast<int64_t>(prompt.size()) + options.decode_tokens);
  const size_t piece =
      options.prefill_piece > 0 ? static_cast<size_t>(options.prefill_piece) : prompt.size();
  std::optional<Tensor> logits;
  for (size_t begin = 0; begin < prompt.size(); begin += piece) {
    trace.start_step("prefill of token " + std::to_string(begin));
    const auto tokens = prompt.subspan(begin, std::min(piece, prompt.size() - begin));
    logits = run_step(context, session.model(), cache, tokens, LogitRows::kAll);
  }
  for (int64_t step = 0; step < options.decode_tokens; ++step) {
    const auto row = logits->data<float>().last(static_cast<size_t>(logits->shape()[1]));
    const auto token = static_cast<int32_t>(std::max_element(row.begin(), row.end()) - row.begin());
    trace.start_step("decode step " + std::to_string(step));
    logits = run_step(context, session.model(), cache, std::span(&token, 1), LogitRows::kLast);
  }
  return trace.take();
}

}  // namespace

std::vector<Verification> verify(const SessionOptions& session, std::span<const int> rank_counts,
                                 std::span<const int32_t> prompt, const VerifyOptions& options) {
  if (prompt.empty()) fail(ErrorKind::kUsage, "the prompt has no tokens");
  std::vector<Verification> results;
  for (const int ranks : rank_counts) {
    const Division division(Shares::equal(ranks), options.experts);
    Verification result{ranks, true, "", {}};
    run_ranks(ranks, options.group, [&](Group& group) {
      SessionOptions with_cache = session;
      with_cache.cache_tokens = std::ssize(prompt) + options.decode_tokens;
      Session own(group, division, with_cache);
      auto trace = run_traced(own, prompt, options);
      if (group.rank() == 0) result.trace = std::move(trace);
    });
    if (!results.empty()) {
      const auto& first = results.front().trace;
      const auto [expected, found] =
          std::mismatch(first.begin(), first.end(), result.trace.begin(), result.trace.end());
      result.equal = expected == first.end() && found == result.trace.end();
      if (!result.equal)
        result.first_difference = found != result.trace.end() ? found->name : expected->name;
    }
    results.push_back(std::move(result));
  }
  return results;
}

}  // namespace strake
