#include "text/jinja/numbers.h"

#include <charconv>
#include <cmath>
#include <cstdlib>
#include <string>

#include "base/checked.h"
#include "text/jinja/budget.h"
#include "text/jinja/text_parts.h"

namespace strake::jinja {
namespace {

// Without the underscores, which may stand only between digits; nothing where they stand wrong.
std::optional<std::string> without_underscores(std::string_view text) {
  const auto digit = [&](size_t at) {
    return at < text.size() && std::isalnum(static_cast<unsigned char>(text[at])) != 0;
  };
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_')
      out += text[i];
    else if (i == 0 || !digit(i - 1) || !digit(i + 1))
      return std::nullopt;
  }
  return out;
}

int digit_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'z') return c - 'a' + 10;
  if (c >= 'A' && c <= 'Z') return c - 'A' + 10;
  return 99;
}

int prefix_base(std::string_view text) {
  if (text.size() < 2 || text[0] != '0') return 0;
  switch (text[1]) {
    case 'x':
    case 'X':
      return 16;
    case 'o':
    case 'O':
      return 8;
    case 'b':
    case 'B':
      return 2;
    default:
      return 0;
  }
}

}  // namespace

std::optional<int64_t> parse_integer(std::string_view text, int64_t base) {
  if (base != 0 && (base < 2 || base > 36)) raise("int() base must be >= 2 and <= 36, or 0");
  text = strip_space(text);
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  const int prefixed = prefix_base(text);
  if (prefixed != 0 && (base == 0 || base == prefixed)) {
    base = prefixed;
    text.remove_prefix(2);
    if (text.starts_with('_')) text.remove_prefix(1);
  } else if (base == 0) {
    if (text.starts_with('0') && text.find_first_not_of("0_") != std::string_view::npos)
      return std::nullopt;
    base = 10;
  }
  const auto digits = without_underscores(text);
  if (!digits || digits->empty()) return std::nullopt;
  for (const char c : *digits)
    if (digit_value(c) >= base) return std::nullopt;
  std::optional<int64_t> number = 0;
  for (const char c : *digits) {
    number = checked_mul(*number, base);
    if (number) number = checked_add(*number, int64_t{negative ? -digit_value(c) : digit_value(c)});
    if (!number) raise("the integer {} does not fit in 64 bits", text);
  }
  return number;
}

std::optional<double> parse_real(std::string_view text) {
  const auto plain = without_underscores(strip_space(text));
  if (!plain || plain->empty()) return std::nullopt;
  std::string_view digits = *plain;
  if (digits.starts_with('+')) {
    digits.remove_prefix(1);
    if (digits.starts_with('-')) return std::nullopt;
  }
  if (digits.find_first_of("xX(") != std::string_view::npos) return std::nullopt;
  double number = 0;
  const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (result.ptr != digits.data() + digits.size()) return std::nullopt;
  // Too large and too small numbers are infinite and zero; strtod tells which.
  if (result.ec == std::errc::result_out_of_range) return std::strtod(plain->c_str(), nullptr);
  if (result.ec != std::errc()) return std::nullopt;
  return number;
}

double round_real(double number, int64_t digits) {
  if (!std::isfinite(number) || digits > 400) return number;
  if (digits < -400) return std::copysign(0.0, number);
  if (digits >= 0) return std::strtod(fmt::format("{:.{}f}", number, digits).c_str(), nullptr);
  const double unit = std::pow(10.0, static_cast<double>(-digits));
  return std::nearbyint(number / unit) * unit;
}

int64_t round_integer(int64_t number, int64_t digits) {
  if (digits >= 0) return number;
  if (digits < -18) return 0;
  int64_t unit = 1;
  for (; digits < 0; ++digits) unit *= 10;
  int64_t rest = number % unit;
  if (rest < 0) rest += unit;
  const auto floor = checked_add(number, -rest);
  if (!floor) raise("an integer of the template does not fit in 64 bits");
  const bool up = rest > unit - rest || (rest == unit - rest && *floor / unit % 2 != 0);
  const auto rounded = up ? checked_add(*floor, unit) : floor;
  if (!rounded) raise("an integer of the template does not fit in 64 bits");
  return *rounded;
}

int64_t truncate_real(double number) {
  if (std::isnan(number)) raise("cannot convert float NaN to integer");
  if (!(number > -9223372036854775809.0 && number < 9223372036854775808.0))
    raise("the number {} does not fit in a 64-bit integer", number);
  return static_cast<int64_t>(number);
}

}  // namespace strake::jinja
