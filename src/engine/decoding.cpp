#include "engine/decoding.h"

#include <algorithm>
#include <bit>
#include <optional>
#include <utility>

#include "base/fail.h"
#include "base/hash.h"
#include "engine/sampler.h"

namespace strake {
namespace {

std::span<const float> last_row(const Tensor& logits) {
  const auto all = logits.data<float>();
  return all.last(static_cast<size_t>(logits.shape()[1]));
}

class HostDecoding final : public Decoding {
 public:
  HostDecoding(Context& context, const Model& model, SequenceCache& cache,
               const SamplingOptions& sampling)
      : context_(context), model_(model), cache_(cache), sampler_(sampling) {}

  void prefill(std::span<const int32_t> tokens) override {
    logits_ = run_step(context_, model_, cache_, tokens, LogitRows::kLast);
  }
  int32_t choose(std::span<const int32_t> history) override {
    const auto row = last_row(*logits_);
    hash_ = hash_row(row, hash_);
    return context_.group.rank() == 0 ? sampler_.sample(row, history) : 0;
  }
  void step(int32_t token) override { prefill(std::span(&token, 1)); }
  uint64_t logits_hash() const override { return hash_; }

 private:
  Context& context_;
  const Model& model_;
  SequenceCache& cache_;
  Sampler sampler_;
  std::optional<Tensor> logits_;
  uint64_t hash_ = kHashSeed;
};

// What the options come to where no other token than the last one's logits matter.
std::optional<SamplingRule> rule_of(const SamplingOptions& options) {
  if (options.xtc_probability != 0 || options.repetition_penalty != 0 ||
      options.presence_penalty != 0 || options.frequency_penalty != 0 ||
      !options.logit_bias.empty())
    return std::nullopt;
  return SamplingRule{.temperature = static_cast<float>(options.temperature),
                      .top_p = static_cast<float>(options.top_p),
                      .min_p = static_cast<float>(options.min_p),
                      .min_tokens = options.min_tokens_to_keep,
                      .top_k = options.top_k,
                      .seed = options.seed};
}

// Attention's work is laid out for the last position that a recording is for: a quarter more than
// there are, at most, but for short sequences.
int64_t last_position(int64_t position) {
  constexpr int64_t kLeast = 512;
  const auto power =
      static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(std::max<int64_t>(position, 1))));
  const int64_t unit = std::max(kLeast, power / 4);
  return (position / unit + 1) * unit - 1;
}

class DeviceDecoding final : public Decoding {
 public:
  DeviceDecoding(Context& context, const Model& model, SequenceCache& cache,
                 const SamplingOptions& sampling, std::unique_ptr<TokenChooser> chooser)
      : context_(context),
        model_(model),
        cache_(cache),
        sampling_(sampling),
        chooser_(std::move(chooser)) {}

  void prefill(std::span<const int32_t> tokens) override {
    agree_on_step(context_, cache_, tokens, LogitRows::kLast);
    logits_ = model_.forward(context_, tokens, cache_, LogitRows::kLast);
    // The group's patience is for each piece.
    context_.on_host(logits_->slice(1, 0, 1));
    chosen_ = false;
  }

  int32_t choose(std::span<const int32_t> history) override {
    if (!chosen_) {
      chooser_->start(cache_.length());
      chooser_->choose(*logits_);
      chosen_ = true;
    }
    const ChosenToken found = chooser_->chosen(context_.await());
    if (found.invalid != 0) context_.backend.require_valid(context_.await());
    if (found.token < 0) refuse(history);
    token_ = found.token;
    hash_ = found.logits_hash;
    return token_;
  }

  // The device has its token already: ranks that came to others have different fingerprints.
  void step(int32_t /*token*/) override {
    agree_on_step(context_, cache_, std::span(&token_, 1), LogitRows::kLast);
    if (repeats_) repeat();
    if (repeats_) {
      cache_.advance(1);
      return;
    }
    logits_ = model_.forward(context_, std::span(&token_, 1), cache_, LogitRows::kLast);
    chooser_->choose(*logits_);
  }

  uint64_t logits_hash() const override { return hash_; }

 private:
  // A step that reads its token and position on the device. Of those up to a position, the first
  // brings what all have in common, the second is recorded. Where a model's step needs the host,
  // `repeats_` becomes false, and nothing has been chosen.
  void repeat() {
    const int64_t position = cache_.length();
    if (position > last_) {
      recording_.reset();
      last_ = std::min(last_position(position), cache_.same_form_until(position));
      try {
        queue(position, last_);
      } catch (const NotRecordable&) {
        repeats_ = false;
      }
      return;
    }
    if (records_ && recording_ == nullptr) {
      recording_ =
          context_.backend.record([this, position, last = last_] { queue(position, last); });
      records_ = recording_ != nullptr;
    }
    if (recording_ != nullptr)
      recording_->run();
    else
      queue(position, last_);
  }

  void queue(int64_t position, int64_t last) {
    const auto* const on_device =
        reinterpret_cast<const int32_t*>(chooser_->position().bytes().data());
    logits_ = model_.forward_again(context_, {std::span(&token_, 1), &chooser_->token()},
                                   {position, on_device, last}, cache_);
    chooser_->choose(*logits_);
  }

  // Of logits that no token can be chosen from, the host knows what to say.
  [[noreturn]] void refuse(std::span<const int32_t> history) const {
    const Tensor logits = context_.on_host(*logits_);
    Sampler(sampling_).sample(last_row(logits), history);
    fail(ErrorKind::kInternal, "logits: no token was chosen");
  }

  Context& context_;
  const Model& model_;
  SequenceCache& cache_;
  SamplingOptions sampling_;
  std::unique_ptr<TokenChooser> chooser_;
  std::unique_ptr<Recording> recording_;  // of steps up to last_
  std::optional<Tensor> logits_;          // of a recording, where each run leaves them
  int64_t last_ = -1;
  bool repeats_ = true;  // the model's step can read token and position on the device
  bool records_ = true;  // and the backend can record it
  bool chosen_ = false;  // from the prompt's logits
  int32_t token_ = 0;    // the last that was chosen
  uint64_t hash_ = kHashSeed;
};

}  // namespace

std::unique_ptr<Decoding> Decoding::make(Context& context, const Model& model, SequenceCache& cache,
                                         const SamplingOptions& sampling) {
  check_sampling_options(sampling);
  const auto rule = rule_of(sampling);
  // A trace wants the host in between.
  if (rule && context.trace == nullptr)
    if (auto chooser = context.backend.token_chooser(*rule, model.vocabulary()))
      return std::make_unique<DeviceDecoding>(context, model, cache, sampling, std::move(chooser));
  return std::make_unique<HostDecoding>(context, model, cache, sampling);
}

void agree_on_step(Context& context, const SequenceCache& cache, std::span<const int32_t> tokens,
                   LogitRows rows) {
  const int64_t header[] = {cache.length(), static_cast<int64_t>(rows)};
  context.group.check_step(hash_values(tokens, hash_values(std::span<const int64_t>(header))));
}

Tensor run_step(Context& context, const Model& model, SequenceCache& cache,
                std::span<const int32_t> tokens, LogitRows rows) {
  agree_on_step(context, cache, tokens, rows);
  Tensor logits = context.on_host(model.forward(context, tokens, cache, rows));
  context.backend.require_valid(context.await());
  return logits;
}

}  // namespace strake
