#include "text/tokenizer_regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <chrono>

#include "base/fail.h"
#include "text/tokenizer_pattern.h"
#include "text/tokenizer_unicode.h"
#include "text/tokenizer_unicode_versions.h"

namespace strake::text {
namespace {

using Clock = std::chrono::steady_clock;
template <class T, void (*release)(T*)>
struct Release {
  void operator()(T* object) const { release(object); }
};
template <class T, void (*release)(T*)>
using Owned = std::unique_ptr<T, Release<T, release>>;
using CompileContext = Owned<pcre2_compile_context, pcre2_compile_context_free>;
using CompiledCode = Owned<pcre2_code, pcre2_code_free>;
using MatchContext = Owned<pcre2_match_context, pcre2_match_context_free>;
using MatchData = Owned<pcre2_match_data, pcre2_match_data_free>;
using JitStack = Owned<pcre2_jit_stack, pcre2_jit_stack_free>;

constexpr uint32_t kMaxPatternBytes = 1 << 16;
constexpr uint32_t kMatchLimit = 10'000'000;  // backtracks from one start position
constexpr uint32_t kHeapLimitKib = 1 << 18;
constexpr size_t kJitStackBytes = 64 << 20;
// The engine bounds the work at one start position only, so a search goes forward by few positions
// at a time with a look at the clock: a pattern that needs 10 us a byte is refused after a while.
constexpr size_t kStartsPerCall = 32;
constexpr auto kGrace = std::chrono::seconds(2);
constexpr auto kTimePerByte = std::chrono::microseconds(10);

// What this thread has computed; a process that is stopped or starved computes nothing.
std::chrono::nanoseconds thread_time() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

PCRE2_SPTR bytes(std::string_view text) { return reinterpret_cast<PCRE2_SPTR>(text.data()); }

std::string message(int code) {
  std::array<PCRE2_UCHAR, 256> buffer;
  pcre2_get_error_message(code, buffer.data(), buffer.size());
  return reinterpret_cast<const char*>(buffer.data());
}

struct CompileResult {
  CompiledCode code;
  int error;
  PCRE2_SIZE offset;
};

CompileResult compile(std::string_view pattern, uint32_t options) {
  const CompileContext context(pcre2_compile_context_create(nullptr));
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  pcre2_set_bsr(context.get(), PCRE2_BSR_UNICODE);
  pcre2_set_max_pattern_length(context.get(), kMaxPatternBytes);
  CompileResult result{};
  result.code.reset(pcre2_compile(bytes(pattern), pattern.size(), options, &result.error,
                                  &result.offset, context.get()));
  return result;
}

}  // namespace

bool is_pcre2_pattern(std::string_view pattern) {
  return compile(pattern, PCRE2_UTF | PCRE2_UCP).code != nullptr;
}

struct Regex::Code {
  std::string source;  // as the tokenizer's file has it
  Syntax syntax;
  CompiledCode code;
};

Regex::Regex(std::string_view pattern, Syntax syntax) {
  const uint32_t options =
      PCRE2_UTF | PCRE2_USE_OFFSET_LIMIT |
      (syntax == Syntax::kLiteral ? PCRE2_LITERAL : PCRE2_UCP | PCRE2_MULTILINE);
  auto result =
      compile(syntax == Syntax::kOniguruma ? to_pcre2_pattern(pattern) : pattern, options);
  if (!result.code)
    fail(ErrorKind::kUnsupported, "pattern '{}': {} at byte {}", pattern, message(result.error),
         result.offset);
  // Without a just-in-time compiler the interpreter gives the same matches, more slowly.
  pcre2_jit_compile(result.code.get(), PCRE2_JIT_COMPLETE);
  code_ = std::make_shared<const Code>(Code{std::string(pattern), syntax, std::move(result.code)});
}

Regex Regex::parse(const JsonNode& node) {
  if (const auto literal = node.find("String")) return Regex(literal->string(), Syntax::kLiteral);
  const auto pattern = node.find("Regex");
  if (!pattern)
    fail(ErrorKind::kCheckpoint, "{}: expected {{\"Regex\": ...}} or {{\"String\": ...}}",
         node.path());
  return Regex(pattern->string(), Syntax::kOniguruma);
}

struct Regex::Scanner::State {
  std::shared_ptr<const Code> code;
  MatchData data{pcre2_match_data_create(1, nullptr)};
  MatchContext context{pcre2_match_context_create(nullptr)};
  JitStack stack;
  Clock::time_point start = Clock::now();
  std::chrono::nanoseconds thread_start = thread_time();
  size_t scanned = 0;  // bytes of earlier texts
  std::string older;   // the text, with characters that the engine knows

  // The first match that starts at `at` or later; false when there is none.
  bool find(std::string_view text, size_t at) {
    for (;;) {
      const auto allowed = kGrace + kTimePerByte * static_cast<int64_t>(scanned + at);
      // The second clock is dear and therefore second.
      if (Clock::now() - start > allowed && thread_time() - thread_start > allowed)
        fail(ErrorKind::kUnsupported,
             "pattern '{}': backtracks so much that {} bytes of text took more than {} s",
             code->source, scanned + at, kGrace.count());
      const size_t last = std::min(at + kStartsPerCall, text.size());
      pcre2_set_offset_limit(context.get(), last);
      int result = match(text, at, 0);
      if (result == PCRE2_ERROR_JIT_STACKLIMIT && !stack) {
        stack.reset(pcre2_jit_stack_create(kJitStackBytes / 64, kJitStackBytes, nullptr));
        pcre2_jit_stack_assign(context.get(), nullptr, stack.get());
        result = match(text, at, 0);
      }
      // The interpreter keeps its backtracking points on the heap, within the heap limit.
      if (result == PCRE2_ERROR_JIT_STACKLIMIT) result = match(text, at, PCRE2_NO_JIT);
      if (result >= 0) return true;
      if (result != PCRE2_ERROR_NOMATCH)
        fail(ErrorKind::kUnsupported, "pattern '{}': {} at byte {} of the text", code->source,
             message(result), at);
      if (last == text.size()) return false;
      at = last;
      while ((text[at] & 0xc0) == 0x80) ++at;
    }
  }

  int match(std::string_view text, size_t at, uint32_t options) {
    return pcre2_match(code->code.get(), bytes(text), text.size(), at, options | PCRE2_NO_UTF_CHECK,
                       data.get(), context.get());
  }
};

Regex::Scanner::Scanner(const Regex& regex) : state_(std::make_unique<State>()) {
  state_->code = regex.code_;
  pcre2_set_match_limit(state_->context.get(), kMatchLimit);
  pcre2_set_heap_limit(state_->context.get(), kHeapLimitKib);
}

Regex::Scanner::~Scanner() = default;

void Regex::Scanner::scan(std::string_view text, std::vector<Stretch>& stretches) {
  stretches.clear();
  if (text.empty()) {
    stretches.push_back({0, 0, false});
    return;
  }
  if (state_->code->syntax != Syntax::kLiteral) text = older_text(text, state_->older);
  size_t done = 0;  // everything before is in a stretch
  size_t at = 0;
  bool matched = false;
  while (at <= text.size() && state_->find(text, at)) {
    const PCRE2_SIZE* match = pcre2_get_ovector_pointer(state_->data.get());
    const size_t begin = match[0];
    const size_t end = match[1];
    if (begin == end && matched && end == done) {  // an empty match right behind the last one
      if (at == text.size()) break;
      at += utf8_length(text[at]);
      continue;
    }
    if (begin > done) stretches.push_back({done, begin, false});
    stretches.push_back({begin, end, true});
    at = done = end;
    matched = true;
  }
  if (done < text.size()) stretches.push_back({done, text.size(), false});
  state_->scanned += text.size();
}

}  // namespace strake::text
