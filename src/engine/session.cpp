#include "engine/session.h"

#include <algorithm>
#include <chrono>

#include "base/fail.h"
#include "base/pages.h"
#include "engine/devices.h"
#include "engine/paths.h"
#include "engine/room.h"
#include "io/checkpoint.h"
#include "io/read_ahead.h"

namespace strake {
namespace {

std::vector<int32_t> read_stop_tokens(const std::filesystem::path& model,
                                      const ModelConfig& config) {
  const auto file = model / "generation_config.json";
  if (std::filesystem::exists(file)) {
    auto ids = ModelConfig::parse(read_text_file(file), file.string()).token_ids("eos_token_id");
    if (!ids.empty()) return ids;
  }
  return config.token_ids("eos_token_id");
}

// Reads from a slow disk, and what a GPU needs to begin, are no silence.
constexpr std::chrono::milliseconds kLeastLoadDeadline{30'000};

int64_t bytes_of(const std::vector<LoadedModule>& modules) {
  int64_t bytes = 0;
  for (const LoadedModule& module : modules) bytes += module.bytes;
  return bytes;
}

}  // namespace

Session::LoadingPatience::LoadingPatience(Group& group)
    : group_(group), deadline_(group.deadline()) {
  group.set_deadline(std::max(deadline_, kLeastLoadDeadline));
}

Session::LoadingPatience::~LoadingPatience() { group_.set_deadline(deadline_); }

Session::Session(Group& group, const Division& division, const SessionOptions& options)
    : Session(group, division, std::make_unique<Checkpoint>(Checkpoint::open(options.model)),
              options) {
  stop_tokens_ = read_stop_tokens(options.model, source_->config());
}

Session::Session(Group& group, const Division& division, std::unique_ptr<ModelSource> source,
                 const SessionOptions& options)
    : patience_(std::in_place, group),
      source_(std::move(source)),
      placements_(place_ranks(group, options.threads, options.placement)),
      backend_(make_backend(options.device,
                            {.threads = placements_[static_cast<size_t>(group.rank())].threads,
                             .path = agree_on_path(group, options.device, options.path),
                             .index = agree_on_device(group, options.device)})),
      tensor_group_(options.tensor_group ? options.tensor_group(group) : nullptr),
      context_{*backend_, tensor_group_ ? *tensor_group_ : group,
               options.activations.value_or(source_->quantization().global() ? DType::kBF16
                                                                             : DType::kF32)},
      kv_cache_(options.kv_cache),
      bytes_per_rank_(static_cast<size_t>(group.size())) {
  if (division.shares.ranks() != group.size())
    fail(ErrorKind::kUsage, "share: weights for {} ranks expected, found {}", group.size(),
         division.shares.ranks());
  Division divided = division;
  divided.parts = most_parts(options.device);
  if (const auto& memory = backend_->place().memory)
    memory->set_await([&waiting = context_.group](const auto& done) { waiting.await(done); });
  if (const auto free = backend_->free_memory())
    require_room(group, *source_, divided,
                 {.tokens = options.cache_tokens,
                  .storage = {context_.activations, kv_cache_},
                  .free = *free,
                  .prompt_rows = backend_->prompt_rows()});
  // What will be loaded, found without reading it.
  const auto twin = source_->without_bytes();
  const LayerLoader expected(*twin, divided, group.rank());
  load_model(*twin, expected);
  const int64_t total = bytes_of(expected.modules());
  const auto ahead = source_->read_ahead(*twin);
  int64_t done = 0;
  // What one tensor was read into, for the next.
  const KeptPages kept(static_cast<size_t>(bytes_in_passing(total)));
  // Ranks load at the pace of the slowest, so that one with a slow disk is not taken for dead.
  const LayerLoader loader(
      *source_, divided, group.rank(),
      {.prepare = [&](Weight w,
                      const PartialSums& sums) { return backend_->prepare(std::move(w), sums); },
       .after_each =
           [&](const LoadedModule& module) {
             group.barrier();
             done += module.bytes;
             if (options.progress && group.rank() == 0) options.progress(done, total);
           },
       .place = backend_->place()});
  model_ = load_model(*source_, loader);
  modules_ = loader.modules();
  const int64_t bytes = bytes_of(modules_);
  const std::vector<int64_t> counts(static_cast<size_t>(group.size()), sizeof bytes);
  group.all_gather(std::as_bytes(std::span(&bytes, 1)),
                   std::as_writable_bytes(std::span(bytes_per_rank_)), counts);
  patience_.reset();
}

}  // namespace strake
