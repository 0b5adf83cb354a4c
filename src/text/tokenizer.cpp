#include "text/tokenizer.h"

#include <algorithm>
#include <utility>

#include "base/fail.h"
#include "base/files.h"
#include "text/tokenizer_added_tokens.h"
#include "text/tokenizer_decoder.h"
#include "text/tokenizer_model.h"
#include "text/tokenizer_post_processor.h"
#include "text/tokenizer_pre_tokenizer.h"
#include "text/tokenizer_unicode.h"

namespace strake {

struct Tokenizer::Impl {
  std::unique_ptr<const text::Model> model;
  text::Normalizer normalizer;       // may be empty
  text::PreTokenizer pre_tokenizer;  // may be empty
  text::AddedTokens added_tokens;
  text::PostProcessor post_processor;
  text::Decoder decoder;

  // The token as decoders see it; null when there is none.
  const std::string* token(int32_t id) const {
    const std::string* added = added_tokens.token(id);
    return added ? added : model->vocabulary().token(id);
  }

  void push(int32_t id, SkipSpecial skip, text::DecoderChain& chain) const {
    const std::string* found = token(id);
    if (!found || (skip == SkipSpecial::kSkip && added_tokens.is_special(*found))) return;
    chain.push(*found);
  }

  // Raw added tokens are cut out first, the rest is normalized, and the others are cut out then.
  text::Pieces cut(std::string_view whole) const {
    const size_t limit = std::max(text::kTextLimit, 32 * whole.size());
    text::Pieces pieces(limit);
    for (const auto& cut : added_tokens.find_raw(whole)) {
      if (cut.token != text::kNoToken) {
        pieces.append_token(cut.token);
        continue;
      }
      text::Rewritten part;
      part.text = whole.substr(cut.begin, cut.end - cut.begin);
      part.limit = limit;
      if (cut.begin == 0) part.origin = text::utf8_length(whole[0]);
      if (normalizer) normalizer(part);
      append_cut(part, pieces);
    }
    return pieces;
  }

  void append_cut(const text::Rewritten& part, text::Pieces& pieces) const {
    for (const auto& cut : added_tokens.find_normalized(part.text)) {
      if (cut.token != text::kNoToken)
        pieces.append_token(cut.token);
      else
        pieces.append_text(part.slice(cut.begin, cut.end));
    }
  }
};

Tokenizer Tokenizer::parse(std::string_view json, std::string_view what) try {
  const text::JsonDocument document(json);
  const text::JsonNode root = document.root();
  if (const auto version = root.find("version"); version && version->string() != "1.0")
    fail(ErrorKind::kUnsupported, "version: expected '1.0', found '{}'", version->string());
  auto impl = std::make_shared<Impl>();
  impl->model = text::parse_model(root.at("model"));
  if (const auto node = root.find("normalizer")) impl->normalizer = text::parse_normalizer(*node);
  if (const auto node = root.find("pre_tokenizer"))
    impl->pre_tokenizer = text::parse_pre_tokenizer(*node);
  if (const auto node = root.find("added_tokens"))
    impl->added_tokens =
        text::AddedTokens::parse(*node, {impl->model->vocabulary(), impl->normalizer});
  if (const auto node = root.find("post_processor"))
    impl->post_processor = text::PostProcessor::parse(*node);
  impl->decoder = text::parse_decoder(root.find("decoder"));
  return Tokenizer(std::move(impl));
} catch (const Error& error) {
  throw Error(error.kind(), fmt::format("{}: {}", what, error.what()));
}

Tokenizer Tokenizer::load(const std::filesystem::path& directory) {
  const std::filesystem::path path = directory / "tokenizer.json";
  return parse(read_text_file(path), path.string());
}

std::vector<int32_t> Tokenizer::encode(std::string_view text, SpecialTokens special) const {
  std::string valid;
  valid.reserve(text.size());
  text::append_valid_utf8(valid, text);
  text::Pieces pieces = impl_->cut(valid);
  if (impl_->pre_tokenizer) impl_->pre_tokenizer(pieces);
  std::vector<int32_t> ids;
  impl_->model->encode(pieces, ids);
  return impl_->post_processor.apply(std::move(ids), special);
}

std::string Tokenizer::decode(std::span<const int32_t> ids, SkipSpecial skip) const {
  text::DecoderChain chain;
  impl_->decoder(chain);
  for (const int32_t id : ids) impl_->push(id, skip, chain);
  chain.finish();
  return chain.take();
}

std::optional<int32_t> Tokenizer::token_id(std::string_view token) const {
  if (const auto id = impl_->added_tokens.id(token)) return id;
  return impl_->model->vocabulary().id(token);
}

std::optional<std::string> Tokenizer::token(int32_t id) const {
  const std::string* found = impl_->token(id);
  return found ? std::optional(*found) : std::nullopt;
}

int32_t Tokenizer::vocabulary_size() const {
  return static_cast<int32_t>(impl_->model->vocabulary().size() + impl_->added_tokens.new_tokens());
}

struct StreamDecoder::State {
  std::shared_ptr<const Tokenizer::Impl> tokenizer;
  SkipSpecial skip;
  text::DecoderChain chain;
};

StreamDecoder::StreamDecoder(const Tokenizer& tokenizer, SkipSpecial skip)
    : state_(std::make_unique<State>(State{tokenizer.impl_, skip, {}})) {
  state_->tokenizer->decoder(state_->chain);
}

StreamDecoder::StreamDecoder(StreamDecoder&&) noexcept = default;
StreamDecoder& StreamDecoder::operator=(StreamDecoder&&) noexcept = default;
StreamDecoder::~StreamDecoder() = default;

std::string StreamDecoder::push(int32_t id) {
  state_->tokenizer->push(id, state_->skip, state_->chain);
  return state_->chain.take();
}

std::string StreamDecoder::finish() {
  state_->chain.finish();
  return state_->chain.take();
}

}  // namespace strake
