// What every architecture offers, and the table of them.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "nn/kv_cache.h"
#include "nn/layer_loader.h"

namespace strake {

// Which rows of a forward pass are turned into logits.
enum class LogitRows { kAll, kLast };

// A causal language model, this rank's part of it.
class Model {
 public:
  virtual ~Model() = default;

  virtual int64_t vocabulary() const = 0;
  // Room for `capacity` tokens of one sequence, in the dtype of the activations.
  virtual SequenceCache make_cache(int64_t capacity, DType dtype) const = 0;
  // Runs `tokens` after those in the cache, which grows by them. -> logits float32
  // [rows, vocabulary], the same on every rank. Throws Error(kUsage) when the cache is full or a
  // token is not in the vocabulary.
  virtual Tensor forward(Context& context, std::span<const int32_t> tokens, SequenceCache& cache,
                         LogitRows rows) const = 0;
};

// One architecture. `model_type` as config.json names it.
struct ModelEntry {
  std::string_view model_type;
  std::unique_ptr<Model> (*make)(LayerLoader load);
};

std::span<const ModelEntry> known_models();

// The model that the source's config names, this rank's part. Every tensor of a checkpoint
// must have been used. Throws Error(kUnsupported) that lists the known types.
std::unique_ptr<Model> load_model(ModelSource& source, LayerLoader load);

}  // namespace strake
