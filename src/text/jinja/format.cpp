#include "text/jinja/format.h"

#include <cmath>
#include <cstdio>

#include "text/jinja/unicode.h"

namespace strake::jinja {
namespace {

constexpr int kMaxPrecision = 1000;

std::string grouped(std::string_view digits, char separator, size_t group) {
  std::string out;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % group == 0) out += separator;
    out += digits[i];
  }
  return out;
}

std::string in_base(uint64_t number, unsigned base, const char* alphabet) {
  std::string digits;
  do digits.insert(digits.begin(), alphabet[number % base]);
  while ((number /= base) != 0);
  return digits;
}

// Joins sign, prefix and digits and pads them.
std::string finish(bool negative, std::string_view digits, const FormatSpec& spec) {
  std::string sign = negative ? "-" : spec.sign == '-' ? "" : std::string(1, spec.sign);
  if (spec.alignment != Alignment::kAfterSign)
    return align(sign + std::string(digits), spec.width, spec.fill, spec.alignment);
  if (spec.grouping != '\0' && spec.fill == "0")
    fail(ErrorKind::kUnsupported, "formatting with both zero padding and '{}' is not supported",
         spec.grouping);
  const int64_t width = spec.width - static_cast<int64_t>(sign.size());
  return sign + align(digits, width, spec.fill, Alignment::kRight);
}

// snprintf's text of a number that is not negative.
std::string printed(double size, char type, int precision, bool alternate) {
  const char format[] = {'%',
                         alternate ? '#' : '.',
                         alternate ? '.' : '*',
                         alternate ? '*' : type,
                         alternate ? type : '\0',
                         '\0'};
  const int length = std::snprintf(nullptr, 0, format, precision, size);
  std::string out(static_cast<size_t>(length), '\0');
  std::snprintf(out.data(), out.size() + 1, format, precision, size);
  return out;
}

}  // namespace

std::string align(std::string_view text, int64_t width, std::string_view fill,
                  Alignment alignment) {
  const int64_t padding = width - static_cast<int64_t>(count_code_points(text));
  if (padding <= 0) return std::string(text);
  int64_t before = 0;
  switch (alignment) {
    case Alignment::kLeft:
      break;
    case Alignment::kRight:
    case Alignment::kAfterSign:
      before = padding;
      break;
    case Alignment::kCenter:
      before = padding / 2;
      break;
    case Alignment::kMethodCenter:
      before = padding / 2 + (padding & width & 1);
      break;
  }
  TextBuilder out;
  out.repeat(fill, before).append(text).repeat(fill, padding - before);
  return out.take();
}

std::string replace_text(std::string_view text, std::string_view old, std::string_view with,
                         int64_t most) {
  if (most == 0) return std::string(text);
  if (most < 0) most = kMaxTextBytes;
  TextBuilder out;
  if (old.empty()) {
    for (size_t at = 0; most > 0; --most) {
      out.append(with);
      if (at == text.size()) break;
      const size_t begin = at;
      next_code_point(text, at);
      out.append(text.substr(begin, at - begin));
      if (most == 1) out.append(text.substr(at));
    }
    return out.take();
  }
  for (size_t at; most > 0 && (at = text.find(old)) != std::string_view::npos; --most) {
    out.append(text.substr(0, at)).append(with);
    text.remove_prefix(at + old.size());
  }
  out.append(text);
  return out.take();
}

int64_t read_count(std::string_view text, size_t& at) {
  int64_t count = 0;
  for (; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at) {
    count = count * 10 + (text[at] - '0');
    if (count > kMaxTextBytes) raise("a width in a format string is more than {}", kMaxTextBytes);
  }
  return count;
}

std::string format_integer(int64_t number, const FormatSpec& spec) {
  const bool negative = number < 0;
  const uint64_t size =
      negative ? 0 - static_cast<uint64_t>(number) : static_cast<uint64_t>(number);
  std::string digits;
  std::string prefix;
  size_t group = 4;
  switch (spec.type) {
    case '\0':
    case 'd':
    case 'i':
    case 'u':
    case 'n':
      digits = in_base(size, 10, "0123456789");
      group = 3;
      break;
    case 'x':
      digits = in_base(size, 16, "0123456789abcdef");
      prefix = "0x";
      break;
    case 'X':
      digits = in_base(size, 16, "0123456789ABCDEF");
      prefix = "0X";
      break;
    case 'o':
      digits = in_base(size, 8, "01234567");
      prefix = "0o";
      break;
    case 'b':
      digits = in_base(size, 2, "01");
      prefix = "0b";
      break;
    case 'c': {
      if (number < 0 || number > 0x10FFFF || (number >= 0xD800 && number < 0xE000))
        raise("%c requires a code point, not {}", number);
      std::string text;
      append_utf8(text, static_cast<char32_t>(number));
      return format_text(text, spec);
    }
    default:
      return format_real(static_cast<double>(number), spec);
  }
  if (spec.grouping != '\0') digits = grouped(digits, spec.grouping, group);
  if (spec.alternate) digits = prefix + digits;
  return finish(negative, digits, spec);
}

std::string format_real(double number, const FormatSpec& spec) {
  const bool negative = std::signbit(number) && !std::isnan(number);
  double size = std::abs(number);
  char type = spec.type == 'n' ? 'g' : spec.type;
  const bool percent = type == '%';
  if (percent) {
    size *= 100;
    type = 'f';
  }
  if (spec.precision > kMaxPrecision) raise("a precision above {} is not supported", kMaxPrecision);
  std::string digits;
  if (type == '\0') {
    digits = printed(size, 'g', spec.precision == 0 ? 1 : spec.precision, spec.alternate);
    const bool whole = digits.find_first_of(".en") == std::string::npos;
    if (whole) digits += ".0";
  } else if (std::string_view("eEfFgG").find(type) != std::string_view::npos) {
    digits = printed(size, type, spec.precision < 0 ? 6 : spec.precision, spec.alternate);
  } else {
    raise("unknown format code '{}' for object of type 'float'", type);
  }
  if (spec.grouping != '\0') {
    const size_t end = std::min(digits.find_first_not_of("0123456789"), digits.size());
    digits = grouped(digits.substr(0, end), spec.grouping, 3) + digits.substr(end);
  }
  if (percent) digits += '%';
  return finish(negative, digits, spec);
}

std::string format_text(std::string_view text, const FormatSpec& spec) {
  if (spec.precision >= 0) {
    size_t at = 0;
    for (int i = 0; i < spec.precision && at < text.size(); ++i) next_code_point(text, at);
    text = text.substr(0, at);
  }
  return align(text, spec.width, spec.fill, spec.alignment);
}

}  // namespace strake::jinja
