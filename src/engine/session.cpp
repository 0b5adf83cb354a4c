#include "engine/session.h"

#include "base/fail.h"
#include "engine/paths.h"
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

}  // namespace

Session::Session(Group& group, const Division& division, const SessionOptions& options)
    : Session(group, division, std::make_unique<Checkpoint>(Checkpoint::open(options.model)),
              options) {
  stop_tokens_ = read_stop_tokens(options.model, source_->config());
}

Session::Session(Group& group, const Division& division, std::unique_ptr<ModelSource> source,
                 const SessionOptions& options)
    : source_(std::move(source)),
      placements_(place_ranks(group, options.threads, options.placement)),
      backend_(make_backend(options.device,
                            {.threads = placements_[static_cast<size_t>(group.rank())].threads,
                             .path = agree_on_path(group, options.device, options.path),
                             .index = rank_on_host(group)})),
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
  const auto ahead = source_->read_ahead(
      [&](ModelSource& twin) { load_model(twin, LayerLoader(twin, divided, group.rank())); });
  // Ranks load at the pace of the slowest, so that one with a slow disk is not taken for dead.
  const LayerLoader loader(
      *source_, divided, group.rank(),
      {.prepare = [&](Weight w,
                      const PartialSums& sums) { return backend_->prepare(std::move(w), sums); },
       .after_each = [&] { group.barrier(); },
       .place = backend_->place()});
  model_ = load_model(*source_, loader);
  modules_ = loader.modules();
  int64_t bytes = 0;
  for (const LoadedModule& module : modules_) bytes += module.bytes;
  const std::vector<int64_t> counts(static_cast<size_t>(group.size()), sizeof bytes);
  group.all_gather(std::as_bytes(std::span(&bytes, 1)),
                   std::as_writable_bytes(std::span(bytes_per_rank_)), counts);
}

}  // namespace strake
