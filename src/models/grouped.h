// Decoders of grouped-query attention and feed-forward blocks, with a norm before each.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "models/decoder.h"
#include "nn/attention.h"
#include "nn/block.h"

namespace strake {

// make_feed(loader at the layer's path, its index) -> one of the feed-forward blocks.
template <class... Feeds, class MakeFeed>
std::unique_ptr<Model> make_grouped(LayerLoader load, const DecoderConfig& config,
                                    const std::vector<AttentionConfig>& attention,
                                    const MakeFeed& make_feed) {
  using Layer = PreNormBlock<Attention, Feeds...>;
  return std::make_unique<Decoder<Layer>>(
      std::move(load), config, [&](LayerLoader at, int64_t index) {
        at.ignore("self_attn.rotary_emb.inv_freq");
        return Layer{at, at.rms_norm("input_layernorm", config.hidden, config.eps),
                     Attention(at.at("self_attn"), attention[static_cast<size_t>(index)]),
                     at.rms_norm("post_attention_layernorm", config.hidden, config.eps),
                     make_feed(at, index)};
      });
}

}  // namespace strake
