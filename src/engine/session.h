// One rank's share of a running model.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/placement.h"
#include "io/model_source.h"
#include "models/model.h"
#include "strake/nn/context.h"

namespace strake {

struct SessionOptions {
  std::filesystem::path model;
  std::string device = "cpu";
  int threads = 1;        // of this rank; 0: its part of the host's physical cores
  std::string path = {};  // instruction path; empty: the fastest that all ranks have
  // kAuto keeps the thread that makes the session to its place, and does not set it free again.
  PlacementPolicy placement = PlacementPolicy::kNone;
  // By default bfloat16 for quantized checkpoints and float32 for others, whose weights are worth
  // it.
  std::optional<DType> activations = {};
  // Of cached keys and values; nothing: in the dtype of the activations.
  std::optional<Format> kv_cache = {};
  // Of the caches that will be made, together: a device's memory must have room for them beside the
  // model.
  int64_t cache_tokens = 0;
  // Called on rank 0 while its part is loaded, with bytes of what it will hold.
  std::function<void(int64_t done, int64_t total)> progress = {};
  // Makes what moves tensors between the ranks' devices, where the group of the session does not.
  std::function<std::unique_ptr<Group>(Group&)> tensor_group = {};
};

class Session {
 public:
  // Reads this rank's part of the model; returns when all ranks have theirs. Throws what loading
  // throws, Error(kUsage) when shares and group disagree, and before anything is read what
  // require_room() throws. Until then the group's deadline is 30 s at least.
  Session(Group& group, const Division& division, const SessionOptions& options);
  // Of a model that is no checkpoint: options.model has no meaning, and no token ends a text.
  Session(Group& group, const Division& division, std::unique_ptr<ModelSource> source,
          const SessionOptions& options);

  Context& context() { return context_; }
  const Model& model() const { return *model_; }
  // The instruction path that all ranks agreed on.
  std::string_view path() const { return backend_->path(); }
  // Each rank's threads, and where they run.
  const std::vector<Placement>& placements() const { return placements_; }
  SequenceCache make_cache(int64_t capacity) const {
    return model_->make_cache(capacity, {context_.activations, kv_cache_});
  }
  // What this rank holds, in the order of the model.
  const std::vector<LoadedModule>& modules() const { return modules_; }
  // Bytes of weights that each rank holds.
  const std::vector<int64_t>& bytes_per_rank() const { return bytes_per_rank_; }
  // Tokens that end a text: generation_config.json's, else config.json's.
  const std::vector<int32_t>& stop_tokens() const { return stop_tokens_; }

 private:
  class LoadingPatience {
   public:
    explicit LoadingPatience(Group& group);
    ~LoadingPatience();
    LoadingPatience(const LoadingPatience&) = delete;
    LoadingPatience& operator=(const LoadingPatience&) = delete;

   private:
    Group& group_;
    std::chrono::milliseconds deadline_;  // the usual
  };

  std::optional<LoadingPatience> patience_;  // until all is loaded
  std::unique_ptr<ModelSource> source_;
  std::vector<Placement> placements_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Group> tensor_group_;  // after the backend has chosen its device
  std::unique_ptr<Model> model_;
  Context context_;
  std::optional<Format> kv_cache_;
  std::vector<LoadedModule> modules_;
  std::vector<int64_t> bytes_per_rank_;
  std::vector<int32_t> stop_tokens_;
};

}  // namespace strake
