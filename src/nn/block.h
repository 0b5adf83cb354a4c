// Layers of a decoder.
#pragma once

#include <span>
#include <string>
#include <utility>
#include <variant>

#include "nn/batch.h"
#include "nn/layer_loader.h"
#include "nn/residual_stream.h"

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

  void forward(Context& context, ResidualStream& x, std::span<const SequenceRows> sequences) const {
    const Tensor attended =
        attention_.forward(context, x.normed(context, attention_norm_), sequences);
    context.record(attention_name_, attended);
    x.add(context, attended);
    const Tensor normed = x.normed(context, feed_norm_);
    const Tensor fed =
        std::visit([&](const auto& feed) { return feed.forward(context, normed); }, feed_);
    context.record(feed_name_, fed);
    x.add(context, fed);
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
