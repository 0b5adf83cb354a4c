#include "text/tokenizer_decoder.h"

#include <charconv>
#include <utility>
#include <vector>

#include "text/tokenizer_byte_level.h"
#include "text/tokenizer_metaspace.h"
#include "text/tokenizer_regex.h"
#include "text/tokenizer_registry.h"
#include "text/tokenizer_text.h"
#include "text/tokenizer_unicode.h"

namespace strake::text {
namespace {

// A step that looks at whole tokens.
class TokenStep : public DecoderStep {
 public:
  void append(std::string_view text) final { token_ += text; }
  void end_token() final {
    std::string token;
    token.swap(token_);
    take(std::move(token));
  }

 protected:
  virtual void take(std::string token) = 0;
  void pass(std::string_view token) {
    next().append(token);
    next().end_token();
  }
  void pass_replaced(std::string token, const Regex& regex, std::string_view content) {
    std::vector<Stretch> stretches;
    Regex::Scanner(regex).scan(token, stretches);
    Rewritten text;
    text.text = std::move(token);
    text.replace(stretches, content);
    pass(text.text);
  }

 private:
  std::string token_;
};

// Spaces between tokens, for want of a decoder.
class JoinStep : public DecoderStep {
 public:
  void append(std::string_view text) override {
    if (std::exchange(pending_space_, false)) next().append(" ");
    next().append(text);
  }
  void end_token() override { pending_space_ = true; }

 private:
  bool pending_space_ = false;
};

// All tokens become one: GPT-2's alphabet is turned into bytes, and bytes into characters.
class ByteLevelStep : public TokenStep {
 public:
  void finish() override {
    pass_valid(pending_);
    next().end_token();
    next().finish();
  }

 protected:
  void take(std::string token) override {
    pending_ += from_byte_level(token).value_or(token);
    const size_t whole = pending_.size() - unfinished_tail(pending_);
    pass_valid(std::string_view(pending_).substr(0, whole));
    pending_.erase(0, whole);
  }

 private:
  // Bytes at the end that the next token may complete to a character.
  static size_t unfinished_tail(std::string_view bytes) {
    for (size_t size = 1; size <= 3 && size <= bytes.size(); ++size) {
      const Utf8Prefix prefix = read_utf8(bytes.substr(bytes.size() - size));
      if (prefix.can_go_on && prefix.size == size) return size;
    }
    return 0;
  }

  void pass_valid(std::string_view bytes) {
    std::string text;
    append_valid_utf8(text, bytes);
    next().append(text);
  }

  std::string pending_;
};

// A run of tokens <0x00> .. <0xFF> becomes the text that its bytes spell, or, where they spell
// none, one U+FFFD for each. So a run is not final before it has ended.
class ByteFallbackStep : public TokenStep {
 public:
  void finish() override {
    end_run();
    next().finish();
  }

 protected:
  void take(std::string token) override {
    unsigned byte = 0;
    if (token.size() == 6 && token.starts_with("<0x") && token.ends_with('>')) {
      const char* end = token.data() + 5;
      if (std::from_chars(token.data() + 3, end, byte, 16).ptr == end) {
        run_.push_back(static_cast<char>(byte));
        return;
      }
    }
    end_run();
    pass(token);
  }

 private:
  void end_run() {
    if (run_.empty()) return;
    bool valid = true;
    for (std::string_view rest = run_; valid && !rest.empty();) {
      const Utf8Prefix prefix = read_utf8(rest);
      valid = prefix.valid;
      rest.remove_prefix(prefix.size);
    }
    if (valid)
      pass(run_);
    else
      for (size_t i = 0; i < run_.size(); ++i) pass("\xef\xbf\xbd");
    run_.clear();
  }

  std::string run_;
};

class FuseStep : public DecoderStep {
 public:
  void end_token() override {}
  void finish() override {
    next().end_token();
    next().finish();
  }
};

// Removes up to `start` leading and `stop` trailing characters `content` of each token.
class StripStep : public DecoderStep {
 public:
  StripStep(std::string content, int64_t start, int64_t stop)
      : content_(std::move(content)), start_(start), stop_(stop), leading_(start) {}

  void append(std::string_view text) override {
    for (size_t at = 0; at < text.size();) {
      const std::string_view character = text.substr(at, utf8_length(text[at]));
      at += character.size();
      if (character != content_) {
        leading_ = 0;
        release(held_);
        next().append(character);
      } else if (leading_ > 0) {
        --leading_;
      } else {
        ++held_;
        if (held_ > stop_) release(1);
      }
    }
  }

  void end_token() override {
    held_ = 0;
    leading_ = start_;
    next().end_token();
  }

 private:
  void release(int64_t count) {
    for (int64_t i = 0; i < count; ++i) next().append(content_);
    held_ -= count;
  }

  std::string content_;
  int64_t start_;
  int64_t stop_;
  int64_t leading_;   // how many more may be dropped at the start of this token
  int64_t held_ = 0;  // how many were seen last, which the token's end would drop
};

class ReplaceStep : public TokenStep {
 public:
  ReplaceStep(Regex regex, std::string content)
      : regex_(std::move(regex)), content_(std::move(content)) {}

 protected:
  void take(std::string token) override { pass_replaced(token, regex_, content_); }

 private:
  Regex regex_;
  std::string content_;
};

// The visible space becomes a space; in the first token it goes, since it was put there.
class MetaspaceStep : public DecoderStep {
 public:
  explicit MetaspaceStep(Metaspace options)
      : options_(std::move(options)), drop_(options_.prepend != PrependScheme::kNever) {}

  void append(std::string_view text) override {
    for (size_t at = 0; at < text.size();) {
      const std::string_view character = text.substr(at, utf8_length(text[at]));
      at += character.size();
      if (character != options_.replacement)
        next().append(character);
      else if (!drop_)
        next().append(" ");
    }
  }

  void end_token() override {
    drop_ = false;
    next().end_token();
  }

 private:
  Metaspace options_;
  bool drop_;
};

// The suffix of a word's last token becomes a space, at the very end nothing.
class WordSuffixStep : public TokenStep {
 public:
  explicit WordSuffixStep(Regex suffix) : suffix_(std::move(suffix)) {}

  void finish() override {
    if (last_) pass_replaced(*last_, suffix_, "");
    next().finish();
  }

 protected:
  void take(std::string token) override {
    if (last_) pass_replaced(*last_, suffix_, " ");
    last_ = std::move(token);
  }

 private:
  Regex suffix_;
  std::optional<std::string> last_;
};

template <class Step, class... Args>
Decoder step(Args... args) {
  return [args...](DecoderChain& chain) { chain.add(std::make_unique<Step>(args...)); };
}

Decoder parse(const JsonNode& node);

Decoder sequence(const JsonNode& node) {
  std::vector<Decoder> parts;
  for (const JsonNode& part : node.at("decoders").items()) parts.push_back(parse(part));
  return [parts = std::move(parts)](DecoderChain& chain) {
    for (const Decoder& part : parts) part(chain);
  };
}

Decoder strip(const JsonNode& node) {
  std::string content;
  append_utf8(content, node.at("content").character());
  return step<StripStep>(content, node.at("start").integer(), node.at("stop").integer());
}

Decoder replace(const JsonNode& node) {
  return step<ReplaceStep>(Regex::parse(node.at("pattern")), node.at("content").string());
}

Decoder word_suffix(const JsonNode& node) {
  return step<WordSuffixStep>(Regex(node.at("suffix").string(), Regex::Syntax::kLiteral));
}

constexpr Maker<Decoder> kMakers[] = {
    {"Sequence", sequence},
    {"ByteLevel", [](const JsonNode&) { return step<ByteLevelStep>(); }},
    {"ByteFallback", [](const JsonNode&) { return step<ByteFallbackStep>(); }},
    {"Fuse", [](const JsonNode&) { return step<FuseStep>(); }},
    {"Strip", strip},
    {"Replace", replace},
    {"Metaspace", [](const JsonNode& node) { return step<MetaspaceStep>(Metaspace::parse(node)); }},
    {"BPEDecoder", word_suffix},
};

Decoder parse(const JsonNode& node) { return make_component(node, kMakers); }

}  // namespace

void DecoderChain::add(std::unique_ptr<DecoderStep> step) {
  step->connect(*text_);
  if (!steps_.empty()) steps_.back()->connect(*step);
  steps_.push_back(std::move(step));
}

void DecoderChain::push(std::string_view token) {
  first().append(token);
  first().end_token();
}

void DecoderChain::finish() { first().finish(); }

std::string DecoderChain::take() {
  std::string text;
  text.swap(text_->text);
  return text;
}

Decoder parse_decoder(const std::optional<JsonNode>& node) {
  if (!node) return step<JoinStep>();
  return parse(*node);
}

}  // namespace strake::text
