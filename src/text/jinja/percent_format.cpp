// The pattern of the % operator.
#include <algorithm>
#include <cmath>

#include "text/jinja/access.h"
#include "text/jinja/format.h"
#include "text/jinja/print.h"
#include "text/jinja/runtime.h"

namespace strake::jinja {
namespace {

// One rendering of a "%" pattern.
class PercentFormatter {
 public:
  PercentFormatter(const Text& pattern, const Value& argument)
      : pattern_(pattern.bytes), escaping_(pattern.escaping), argument_(argument) {
    const List* list = argument.list();
    tuple_ = list && list->kind != ListKind::kList ? list : nullptr;
  }

  std::string format() {
    TextBuilder out;
    while (at_ < pattern_.size()) {
      const size_t percent = std::min(pattern_.find('%', at_), pattern_.size());
      out.append(pattern_.substr(at_, percent - at_));
      at_ = percent + 1;
      if (percent == pattern_.size()) break;
      if (at_ == pattern_.size()) raise("incomplete format");
      out.append(directive());
    }
    const size_t given = tuple_ ? tuple_->items.size() : 1;
    // Whatever has subscripts could have been looked into.
    const bool container = !tuple_ && (argument_.list() || argument_.dict() ||
                                       argument_.is_undefined() || argument_.object_as<Range>());
    if (used_ < given && !container) raise("not all arguments converted during string formatting");
    return out.take();
  }

 private:
  char peek() const {
    if (at_ >= pattern_.size()) raise("incomplete format");
    return pattern_[at_];
  }

  std::string directive() {
    std::optional<Value> keyed;
    if (peek() == '(') {
      const size_t end = pattern_.find(')', at_);
      if (end == std::string_view::npos) raise("incomplete format key");
      if (!argument_.dict()) raise("format requires a mapping");
      const std::string_view key = pattern_.substr(at_ + 1, end - at_ - 1);
      const Value* found = argument_.dict()->find(key);
      if (!found) raise("the format's key '{}' is not in the mapping", key);
      keyed = *found;
      at_ = end + 1;
    }
    FormatSpec spec;
    bool left = false;
    for (; std::string_view("-+ 0#").find(peek()) != std::string_view::npos; ++at_) {
      const char flag = pattern_[at_];
      if (flag == '-') left = true;
      if (flag == '+' || (flag == ' ' && spec.sign != '+')) spec.sign = flag;
      if (flag == '#') spec.alternate = true;
      if (flag == '0') spec.fill = "0";
    }
    spec.width = peek() == '*' ? star() : read_count(pattern_, at_);
    if (spec.width < 0) {
      left = true;
      spec.width = -spec.width;
    }
    if (peek() == '.') {
      ++at_;
      const int64_t precision = peek() == '*' ? star() : read_count(pattern_, at_);
      spec.precision = static_cast<int>(std::clamp(precision, int64_t{0}, int64_t{1} << 30));
    }
    while (std::string_view("hlL").find(peek()) != std::string_view::npos) ++at_;
    spec.type = pattern_[at_++];
    if (spec.type == '%') return "%";
    spec.alignment = left               ? Alignment::kLeft
                     : spec.fill == "0" ? Alignment::kAfterSign
                                        : Alignment::kRight;
    if (left) spec.fill = " ";
    return conversion(keyed ? *keyed : next(), spec);
  }

  int64_t star() {
    ++at_;
    const int64_t count = integer_argument("%", next());
    if (std::abs(static_cast<double>(count)) > static_cast<double>(kMaxTextBytes))
      raise("a width in a format string is more than {}", kMaxTextBytes);
    return count;
  }

  Value next() {
    const size_t given = tuple_ ? tuple_->items.size() : 1;
    if (used_ >= given) raise("not enough arguments for format string");
    return tuple_ ? tuple_->items[used_++] : (++used_, argument_);
  }

  std::string conversion(const Value& value, FormatSpec spec) {
    switch (spec.type) {
      case 's':
      case 'r': {
        const bool markup = value.text() && value.text()->escaping == Escaping::kMarkup;
        std::string text = spec.type == 's' ? print_str(value) : print_repr(value);
        if (escaping_ == Escaping::kMarkup && !(markup && spec.type == 's'))
          text = escape_html(text);
        return format_text(text, plain(spec));
      }
      case 'c':
        if (const Text* text = value.text()) {
          if (text->length != 1) raise("%c requires int or char");
          return format_text(text->bytes, plain(spec));
        }
        spec.fill = " ";
        return format_integer(integer_argument("%c", value), plain(spec));
      case 'd':
      case 'i':
      case 'u':
      case 'x':
      case 'X':
      case 'o':
        return integer(value, spec);
      case 'e':
      case 'E':
      case 'f':
      case 'F':
      case 'g':
      case 'G': {
        require_defined(value);
        const auto number = value.as_real();
        if (!number) raise("must be real number, not {}", value.type_name());
        return format_real(*number, spec);
      }
      default:
        raise("unsupported format character '{}'", spec.type);
    }
  }

  static FormatSpec plain(FormatSpec spec) {
    spec.fill = " ";
    if (spec.alignment == Alignment::kAfterSign) spec.alignment = Alignment::kRight;
    return spec;
  }

  std::string integer(const Value& value, FormatSpec spec) {
    require_defined(value);
    const bool decimal = spec.type == 'd' || spec.type == 'i' || spec.type == 'u';
    int64_t number = 0;
    if (const auto whole = value.as_integer()) {
      number = *whole;
    } else if (const double* real = value.real(); real && decimal) {
      if (!(std::abs(*real) < 9.2e18)) raise("cannot convert {} to an integer", *real);
      number = static_cast<int64_t>(*real);
    } else {
      raise("%{} format: a number is required, not {}", spec.type, value.type_name());
    }
    if (spec.precision >= 0) {
      FormatSpec digits = spec;
      digits.alignment = Alignment::kAfterSign;
      digits.fill = "0";
      digits.width = spec.precision + (number < 0 || spec.sign != '-' ? 1 : 0);
      return format_text(format_integer(number, digits), plain(without_precision(spec)));
    }
    return format_integer(number, spec);
  }

  static FormatSpec without_precision(FormatSpec spec) {
    spec.precision = -1;
    return spec;
  }

  std::string_view pattern_;
  Escaping escaping_;
  const Value& argument_;
  const List* tuple_;
  size_t at_ = 0;
  size_t used_ = 0;
};

}  // namespace

std::string format_percent(Runtime& runtime, const Text& pattern, const Value& argument) {
  runtime.budget.step(static_cast<int64_t>(pattern.bytes.size() / 16));
  return PercentFormatter(pattern, argument).format();
}

}  // namespace strake::jinja
