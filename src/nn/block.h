// Layers of a decoder.
#pragma once

#include <span>
#include <string>
#include <utility>
#include <variant>

#include "nn/batch.h"
#include "nn/layer_loader.h"

namespace strake {

// x + attention(norm(x)), then the same with one of the feed-forward blocks. Make it with braces:
// its parts are then loaded in their order.
template <class Attention, class... Feeds>
class PreNormBlock {
 public:
  // `load` is at the layer's path.
  PreNormBlock(const LayerLoader& load, RmsNorm attention_norm, Attention attention,
               RmsNorm feed_norm, std::variant<Feeds...> feed)
      : attention_name_(load.path("self_attn")),
        feed_name_(load.path("mlp")),
        attention_norm_(std::move(attention_norm)),
        attention_(std::move(attention)),
        feed_norm_(std::move(feed_norm)),
        feed_(std::move(feed)) {}

  // x float32 [rows, hidden] -> [rows, hidden].
  Tensor forward(Context& context, const Tensor& x, std::span<const SequenceRows> sequences) const {
    const Tensor attended =
        attention_.forward(context, attention_norm_.forward(context, x), sequences);
    context.record(attention_name_, attended);
    const Tensor middle = context.backend.add(x, attended);
    const Tensor normed = feed_norm_.forward(context, middle);
    const Tensor fed =
        std::visit([&](const auto& feed) { return feed.forward(context, normed); }, feed_);
    context.record(feed_name_, fed);
    return context.backend.add(middle, fed);
  }

  LayerCache make_cache(const CacheRoom& room) const { return attention_.make_cache(room); }

 private:
  std::string attention_name_, feed_name_;  // in traces
  RmsNorm attention_norm_;
  Attention attention_;
  RmsNorm feed_norm_;
  std::variant<Feeds...> feed_;
};

}  // namespace strake
