// What a template may spend, so that a hostile one ends in an error instead of a hang.
#pragma once

#include <cstdint>

#include "base/fail.h"

namespace strake::jinja {

// A template that cannot be rendered with the values that it was given.
template <class... Args>
[[noreturn]] void raise(fmt::format_string<Args...> format, Args&&... args) {
  fail(ErrorKind::kUsage, format, std::forward<Args>(args)...);
}

struct Limits {
  int64_t steps = 100'000'000;         // expressions evaluated and elements visited
  int64_t bytes = int64_t{1} << 30;    // made by all operations together
  int64_t output = int64_t{64} << 20;  // bytes of the rendered text
  int calls = 150;                     // macros within macros
};

constexpr int64_t kMaxTextBytes = int64_t{64} << 20;
constexpr int64_t kMaxListItems = int64_t{4} << 20;
constexpr int64_t kMaxRange = 100'000;
// Containers within containers: bounds every recursion over values.
constexpr int kMaxDepth = 256;

inline void require_list_size(int64_t items) {
  if (items > kMaxListItems)
    raise("the template makes a list of more than {} items", kMaxListItems);
}

class Budget {
 public:
  explicit Budget(const Limits& limits) : limits_(limits) {}

  void step(int64_t count = 1) {
    steps_ += count;
    if (steps_ > limits_.steps) raise("the template takes more than {} steps", limits_.steps);
  }
  void allocate(int64_t bytes) {
    bytes_ += bytes;
    if (bytes_ > limits_.bytes)
      raise("the template makes values of more than {} bytes", limits_.bytes);
  }
  const Limits& limits() const { return limits_; }

 private:
  Limits limits_;
  int64_t steps_ = 0;
  int64_t bytes_ = 0;
};

// Text under construction that cannot grow past kMaxTextBytes.
class TextBuilder {
 public:
  TextBuilder& append(std::string_view text) {
    grow(static_cast<int64_t>(text.size()));
    text_ += text;
    return *this;
  }
  TextBuilder& repeat(std::string_view text, int64_t times) {
    if (times <= 0 || text.empty()) return *this;
    if (times > kMaxTextBytes) too_long();
    grow(static_cast<int64_t>(text.size()) * times);
    for (int64_t i = 0; i < times; ++i) text_ += text;
    return *this;
  }
  std::string take() { return std::move(text_); }
  int64_t size() const { return static_cast<int64_t>(text_.size()); }

 private:
  [[noreturn]] static void too_long() {
    raise("the template makes a string of more than {} bytes", kMaxTextBytes);
  }
  void grow(int64_t bytes) const {
    if (bytes > kMaxTextBytes - size()) too_long();
  }
  std::string text_;
};

}  // namespace strake::jinja
