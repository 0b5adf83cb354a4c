#include "text/jinja/operators.h"

#include <algorithm>
#include <cmath>

#include "base/checked.h"
#include "text/jinja/access.h"
#include "text/jinja/format.h"
#include "text/jinja/print.h"
#include "text/jinja/runtime.h"

namespace strake::jinja {
namespace {

const char* symbol(Operator operation) {
  switch (operation) {
    case Operator::kAdd:
      return "+";
    case Operator::kSubtract:
      return "-";
    case Operator::kMultiply:
      return "*";
    case Operator::kDivide:
      return "/";
    case Operator::kFloorDivide:
      return "//";
    case Operator::kModulo:
      return "%";
    case Operator::kPower:
      return "**";
  }
  return "?";
}

[[noreturn]] void unsupported(Operator operation, const Value& left, const Value& right) {
  raise("unsupported operand type(s) for {}: '{}' and '{}'", symbol(operation), left.type_name(),
        right.type_name());
}

Value checked(std::optional<int64_t> result) {
  if (!result) raise("an integer of the template does not fit in 64 bits");
  return Value(*result);
}

int64_t floor_divide(int64_t left, int64_t right) {
  const int64_t quotient = left / right;
  return left % right != 0 && (left < 0) != (right < 0) ? quotient - 1 : quotient;
}

Value power(int64_t base, int64_t exponent) {
  if (exponent < 0) {
    if (base == 0) raise("0.0 cannot be raised to a negative power");
    return Value(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
  }
  std::optional<int64_t> result = 1;
  std::optional<int64_t> square = base;
  for (; exponent > 0 && result; exponent >>= 1) {
    if (exponent & 1) result = square ? checked_mul(*result, *square) : std::nullopt;
    if (square) square = checked_mul(*square, *square);
  }
  return checked(result);
}

Value of_integers(Operator operation, int64_t left, int64_t right) {
  const bool divides = operation == Operator::kDivide || operation == Operator::kFloorDivide ||
                       operation == Operator::kModulo;
  if (divides && right == 0) raise("division by zero");
  switch (operation) {
    case Operator::kAdd:
      return checked(checked_add(left, right));
    case Operator::kSubtract: {
      int64_t result;
      return checked(__builtin_sub_overflow(left, right, &result) ? std::nullopt
                                                                  : std::optional(result));
    }
    case Operator::kMultiply:
      return checked(checked_mul(left, right));
    case Operator::kDivide:
      return Value(static_cast<double>(left) / static_cast<double>(right));
    case Operator::kFloorDivide:
      return right == -1 ? of_integers(Operator::kSubtract, 0, left)
                         : Value(floor_divide(left, right));
    case Operator::kModulo:
      return right == -1 ? Value(int64_t{0}) : Value(left - floor_divide(left, right) * right);
    case Operator::kPower:
      return power(left, right);
  }
  raise("unknown operator");
}

// Python's divmod(): the remainder has the divisor's sign.
struct Division {
  double quotient, remainder;
};
Division divide(double left, double right) {
  double remainder = std::fmod(left, right);
  double quotient = (left - remainder) / right;
  if (remainder != 0 && (right < 0) != (remainder < 0)) {
    remainder += right;
    quotient -= 1;
  } else if (remainder == 0) {
    remainder = std::copysign(0.0, right);
  }
  if (quotient == 0) return {std::copysign(0.0, left / right), remainder};
  const double whole = std::floor(quotient);
  return {quotient - whole > 0.5 ? whole + 1 : whole, remainder};
}

Value of_reals(Operator operation, double left, double right) {
  const bool divides = operation == Operator::kDivide || operation == Operator::kFloorDivide ||
                       operation == Operator::kModulo;
  if (divides && right == 0) raise("float division by zero");
  switch (operation) {
    case Operator::kAdd:
      return Value(left + right);
    case Operator::kSubtract:
      return Value(left - right);
    case Operator::kMultiply:
      return Value(left * right);
    case Operator::kDivide:
      return Value(left / right);
    case Operator::kFloorDivide:
      return Value(divide(left, right).quotient);
    case Operator::kModulo:
      return Value(divide(left, right).remainder);
    case Operator::kPower:
      break;
  }
  if (left == 0 && right < 0) raise("0.0 cannot be raised to a negative power");
  if (left < 0 && std::isfinite(left) && std::isfinite(right) && std::trunc(right) != right)
    raise("a negative number cannot be raised to a fraction");
  const double result = std::pow(left, right);
  if (std::isinf(result) && std::isfinite(left) && std::isfinite(right))
    raise("the result of ** is out of range");
  return Value(result);
}

Value concatenated(const Text& left, const Text& right) {
  const bool markup = left.escaping == Escaping::kMarkup || right.escaping == Escaping::kMarkup;
  const auto part = [&](const Text& text) {
    return markup && text.escaping == Escaping::kPlain ? escape_html(text.bytes) : text.bytes;
  };
  TextBuilder out;
  out.append(part(left)).append(part(right));
  return Value(out.take(), markup ? Escaping::kMarkup : Escaping::kPlain);
}

Value repeated(Runtime& runtime, const Value& sequence, int64_t times) {
  if (const Text* text = sequence.text()) {
    TextBuilder out;
    out.repeat(text->bytes, times);
    return Value(out.take(), text->escaping);
  }
  const List& list = *sequence.list();
  const auto size = static_cast<int64_t>(list.items.size());
  std::vector<Value> items;
  if (size > 0 && times > 0) require_list_size(size * std::min(times, kMaxListItems + 1));
  for (int64_t i = 0; i < times; ++i) {
    runtime.budget.step(size);
    items.insert(items.end(), list.items.begin(), list.items.end());
  }
  return Value::list(std::move(items), list.kind == ListKind::kList ? list.kind : ListKind::kTuple);
}

Value joined(const List& left, const List& right) {
  std::vector<Value> items = left.items;
  items.insert(items.end(), right.items.begin(), right.items.end());
  return Value::list(std::move(items), left.kind == ListKind::kList ? left.kind : ListKind::kTuple);
}

}  // namespace

Value apply(Runtime& runtime, Operator operation, const Value& left, const Value& right) {
  if (operation == Operator::kModulo && left.text())
    return runtime.made(Value(format_percent(runtime, *left.text(), right), left.text()->escaping));
  require_defined(left);
  require_defined(right);
  if (left.is_number() && right.is_number()) {
    const auto a = left.as_integer();
    const auto b = right.as_integer();
    return a && b ? of_integers(operation, *a, *b)
                  : of_reals(operation, *left.as_real(), *right.as_real());
  }
  if (operation == Operator::kAdd && left.text() && right.text())
    return runtime.made(concatenated(*left.text(), *right.text()));
  if (operation == Operator::kAdd && left.list() && right.list() &&
      (left.list()->kind == ListKind::kList) == (right.list()->kind == ListKind::kList))
    return runtime.made(joined(*left.list(), *right.list()));
  if (operation == Operator::kMultiply) {
    const bool first = left.text() || left.list();
    const Value& sequence = first ? left : right;
    const auto times = (first ? right : left).as_integer();
    if ((sequence.text() || sequence.list()) && times)
      return runtime.made(repeated(runtime, sequence, *times));
  }
  unsupported(operation, left, right);
}

Value negated(const Value& value) {
  require_defined(value);
  if (const auto number = value.as_integer()) return of_integers(Operator::kSubtract, 0, *number);
  if (const double* number = value.real()) return Value(-*number);
  raise("bad operand type for unary -: '{}'", value.type_name());
}

Value as_number(const Value& value) {
  require_defined(value);
  if (const auto number = value.as_integer()) return Value(*number);
  if (value.real()) return value;
  raise("bad operand type for unary +: '{}'", value.type_name());
}

}  // namespace strake::jinja
