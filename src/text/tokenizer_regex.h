// Finding a pattern in text, in bounded time.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer_json.h"

namespace strake::text {

// A stretch of a text: one match of a pattern, or what lies between two.
struct Stretch {
  size_t begin;
  size_t end;
  bool is_match;
};

// Whether the engine compiles `pattern` (its own syntax).
bool is_pcre2_pattern(std::string_view pattern);

// A compiled pattern; immutable and shared between threads.
class Regex {
 public:
  enum class Syntax { kOniguruma, kPcre2, kLiteral };

  // Throws Error(kUnsupported) when the engine refuses the pattern.
  Regex(std::string_view pattern, Syntax syntax);
  // {"Regex": "..."} or {"String": "..."}
  static Regex parse(const JsonNode& node);

  // One thread's working memory for one text, whose pieces may be scanned one by one.
  class Scanner {
   public:
    explicit Scanner(const Regex& regex);
    Scanner(const Scanner&) = delete;
    Scanner& operator=(const Scanner&) = delete;
    ~Scanner();
    // Cuts `text` (valid UTF-8) into matches and what lies between; an empty text is one stretch
    // without a match. Throws Error(kUnsupported) when the pattern backtracks without bound.
    void scan(std::string_view text, std::vector<Stretch>& stretches);

   private:
    struct State;
    std::unique_ptr<State> state_;
  };

 private:
  struct Code;
  std::shared_ptr<const Code> code_;
};

}  // namespace strake::text
