// What every architecture offers, and the table of them.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "nn/batch.h"
#include "nn/layer_loader.h"

namespace strake {

// Which rows of a forward pass are turned into logits.
enum class LogitRows { kAll, kLast };

// A causal language model, this rank's part of it.
class Model {
 public:
  virtual ~Model() = default;

  virtual int64_t vocabulary() const = 0;
  // Room for `capacity` tokens of one sequence. Throws Error(kUsage) for a format that does not fit
  // the rows.
  virtual SequenceCache make_cache(int64_t capacity, const CacheStorage& storage) const = 0;

  // Runs each sequence's tokens after those in its cache, which grows by them. Sequences are
  // different ones. -> logits float32 [rows, vocabulary], the same on every rank: of all tokens, or
  // of the last of each sequence. Throws Error(kUsage) when a cache is full or a token is not in
  // the vocabulary.
  Tensor forward(Context& context, std::span<const SequenceStep> steps, LogitRows rows) const;
  // One sequence.
  Tensor forward(Context& context, std::span<const int32_t> tokens, SequenceCache& cache,
                 LogitRows rows) const;
  // One token of one sequence, as the first of steps that a device runs again: token and position
  // are read there each time. The cache does not grow. -> logits float32 [1, vocabulary]. Throws
  // NotRecordable where the model needs the host to know them.
  Tensor forward_again(Context& context, const TokenIds& token, const Position& position,
                       SequenceCache& cache) const;

 private:
  // The rows of `tokens`, all those of `steps`, after the last layer: float32 [rows, hidden].
  virtual Tensor run(Context& context, const TokenIds& tokens,
                     std::span<const SequenceStep> steps) const = 0;
  virtual Tensor logits(Context& context, const Tensor& x) const = 0;
};

// One architecture.
struct ModelEntry {
  std::string_view model_type;  // as config.json names it
  std::unique_ptr<Model> (*make)(LayerLoader load);
  std::string_view models;  // that people know it by
};

std::span<const ModelEntry> known_models();

// The model that the source's config names, this rank's part. Every tensor of a checkpoint
// must have been used. Throws Error(kUnsupported) that lists the known types.
std::unique_ptr<Model> load_model(ModelSource& source, LayerLoader load);

}  // namespace strake
