// A backend of the host that does what a device does with recordings: it runs their operations
// again.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "base/hash.h"
#include "engine/sampler.h"
#include "strake/ops/backend.h"

namespace strake {

// Chooses on the host, but leaves tokens and positions where steps read them.
class HostTokenChooser final : public TokenChooser {
 public:
  explicit HostTokenChooser(const SamplingRule& rule)
      : sampler_({.temperature = rule.temperature,
                  .top_p = rule.top_p,
                  .min_p = rule.min_p,
                  .top_k = rule.top_k,
                  .min_tokens_to_keep = rule.min_tokens,
                  .seed = rule.seed}) {}

  const Tensor& token() const override { return token_; }
  const Tensor& position() const override { return position_; }
  void start(int64_t position) override {
    position_.mutable_data<int32_t>()[0] = static_cast<int32_t>(position - 1);
  }
  void choose(const Tensor& logits) override {
    const auto row = logits.data<float>();
    chosen_ = {sampler_.sample(row, {}), 0, hash_row(row, chosen_.logits_hash)};
    token_.mutable_data<int32_t>()[0] = chosen_.token;
    ++position_.mutable_data<int32_t>()[0];
  }
  ChosenToken chosen(const Await& /*await*/) override { return chosen_; }

 private:
  Sampler sampler_;
  Tensor token_ = Tensor::zeros(DType::kI32, {1});
  Tensor position_ = Tensor::zeros(DType::kI32, {1});
  ChosenToken chosen_{0, 0, kHashSeed};
};

// The operations of another backend.
class RepeatingBackend final : public Backend {
 public:
  enum class Records { kYes, kNo };
  RepeatingBackend(Backend& inner, Records records) : inner_(inner), records_(records) {}

  int recordings = 0;
  int runs = 0;  // of recordings

  std::string_view name() const override { return inner_.name(); }
  Place place() const override { return inner_.place(); }
  int threads() const override { return inner_.threads(); }
  std::string_view path() const override { return inner_.path(); }

  std::unique_ptr<Recording> record(const std::function<void()>& operations) override {
    if (records_ == Records::kNo) return nullptr;
    ++recordings;
    return std::make_unique<Again>(*this, operations);
  }
  std::unique_ptr<TokenChooser> token_chooser(const SamplingRule& rule,
                                              int64_t /*vocabulary*/) override {
    return std::make_unique<HostTokenChooser>(rule);
  }

 private:
  class Again final : public Recording {
   public:
    Again(RepeatingBackend& owner, std::function<void()> operations)
        : owner_(owner), operations_(std::move(operations)) {}
    void run() override {
      ++owner_.runs;
      operations_();
    }

   private:
    RepeatingBackend& owner_;
    std::function<void()> operations_;
  };

  Weight do_prepare(Weight w, const PartialSums& sums) override {
    return inner_.prepare(std::move(w), sums);
  }
  Tensor do_matmul(const Tensor& x, const Weight& w, const PartialSums& sums) override {
    return inner_.matmul(x, w, sums);
  }
  Tensor do_gather_matmul(const Tensor& x, const Weight& w, const GatherIndices& indices,
                          const PartialSums& sums) override {
    return inner_.gather_matmul(x, w, indices, sums);
  }
  Tensor do_mix_matmul(const Tensor& x, const Weight& w, const Mixture& mixture,
                       const PartialSums& sums) override {
    return inner_.mix_matmul(x, w, mixture, sums);
  }
  Tensor do_transpose(const Weight& w, int64_t first, int64_t count) override {
    return inner_.transpose(w, first, count);
  }
  Tensor do_finish_sums(const Tensor& pieces, const PartialSums& sums) override {
    return inner_.finish_sums(pieces, sums);
  }
  Routing do_route(const Tensor& logits, const RoutingRule& rule,
                   std::span<const float> correction) override {
    return inner_.route(logits, rule, correction);
  }
  std::shared_ptr<const DispatchedRows> do_dispatch(const Routing& routing,
                                                    std::span<const HeldRows> held,
                                                    const Await& await) override {
    return inner_.dispatch(routing, held, await);
  }
  Tensor do_spread_weights(const Routing& routing, int64_t experts) override {
    return inner_.spread_weights(routing, experts);
  }
  Tensor do_embedding(const Weight& w, const TokenIds& ids) override {
    return inner_.embedding(w, ids);
  }
  Tensor do_embedding_part(const Weight& w, const TokenIds& ids, const TableParts& parts) override {
    return inner_.embedding_part(w, ids, parts);
  }
  Tensor do_pick_rows(const Tensor& pieces, const TokenIds& ids,
                      std::span<const HeldRows> held) override {
    return inner_.pick_rows(pieces, ids, held);
  }
  Tensor do_rms_norm(const Tensor& x, const Tensor& w, float eps, DType dtype) override {
    return inner_.rms_norm(x, w, eps, dtype);
  }
  Tensor do_layer_norm(const Tensor& x, const NormParameters& norm, DType dtype) override {
    return inner_.layer_norm(x, norm, dtype);
  }
  Tensor do_sum_squares(const Tensor& x) override { return inner_.sum_squares(x); }
  Tensor do_rms_norm_part(const Tensor& x, const Tensor& w, const RowSquares& squares,
                          DType dtype) override {
    return inner_.rms_norm_part(x, w, squares, dtype);
  }
  void do_rope(Tensor& x, const RopeTable& table, const Position& first_position) override {
    inner_.rope(x, table, first_position);
  }
  void do_cache_store(CacheRows& cache, const Tensor& x, const Position& first_position) override {
    inner_.cache_store(cache, x, first_position);
  }
  Tensor do_attention(const Tensor& q, const AttentionRows& cached,
                      const AttentionView& view) override {
    return &cached.keys == &cached.values
               ? inner_.attention(q, cached.keys, cached.value_width, view)
               : inner_.attention(q, cached.keys, cached.values, view);
  }
  Tensor do_select_keys(const Tensor& q, const Tensor& weights, const CacheRows& keys,
                        const IndexView& view) override {
    return inner_.select_keys(q, weights, keys, view);
  }
  Tensor do_gated(const Tensor& gate, const Tensor& up, Activation activation) override {
    return inner_.gated(gate, up, activation);
  }
  Tensor do_add(const Tensor& x, const Tensor& y) override { return inner_.add(x, y); }
  Tensor do_scale(const Tensor& x, float factor) override { return inner_.scale(x, factor); }

  Backend& inner_;
  Records records_;
};

}  // namespace strake
