#include "text/jinja/compare.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "text/jinja/access.h"
#include "text/jinja/runtime.h"

namespace strake::jinja {
namespace {

// Doubles from 2^63 on cannot equal an int64.
constexpr double kTwo63 = 9223372036854775808.0;

// Less, equal or greater, exactly: an int64 is not rounded to a double. Nothing for NaN.
std::partial_ordering compare_mixed(int64_t left, double right) {
  if (std::isnan(right)) return std::partial_ordering::unordered;
  if (right >= kTwo63) return std::partial_ordering::less;
  if (right < -kTwo63) return std::partial_ordering::greater;
  const auto whole = static_cast<int64_t>(right);
  if (left != whole) return left <=> whole;
  return 0.0 <=> right - static_cast<double>(whole);
}

std::partial_ordering compare_numbers(const Value& left, const Value& right) {
  const auto left_integer = left.as_integer();
  const auto right_integer = right.as_integer();
  if (left_integer && right_integer) return *left_integer <=> *right_integer;
  if (left_integer) return compare_mixed(*left_integer, *right.real());
  if (right_integer) return 0 <=> compare_mixed(*right_integer, *left.real());
  return *left.real() <=> *right.real();
}

bool same_kind(const List& left, const List& right) {
  return (left.kind == ListKind::kList) == (right.kind == ListKind::kList);
}

bool equal_dicts(const Dict& left, const Dict& right, Budget& budget) {
  if (left.entries().size() != right.entries().size()) return false;
  return std::ranges::all_of(left.entries(), [&](const Dict::Entry& entry) {
    const Value* other = right.find(entry.first, budget);
    return other && equal(entry.second, *other, budget);
  });
}

size_t combine(size_t seed, size_t hash) {
  return seed ^ (hash + 0x9e3779b97f4a7c15U + (seed << 6) + (seed >> 2));
}

}  // namespace

bool equal(const Value& left, const Value& right, Budget& budget) {
  budget.step();
  if (left.is_number() && right.is_number()) return std::is_eq(compare_numbers(left, right));
  if (left.is_undefined() && right.is_undefined()) return true;
  if (left.text() && right.text()) return left.text()->bytes == right.text()->bytes;
  if (left.is(right)) return true;
  if (left.list() && right.list()) {
    const List& mine = *left.list();
    const List& other = *right.list();
    return same_kind(mine, other) &&
           std::ranges::equal(mine.items, other.items, [&](const Value& a, const Value& b) {
             return a.is(b) || equal(a, b, budget);
           });
  }
  if (left.dict() && right.dict()) return equal_dicts(*left.dict(), *right.dict(), budget);
  if (const auto* range = left.object_as<Range>())
    return right.object_as<Range>() && range->same_elements(*right.object_as<Range>());
  return false;
}

bool less(const Value& left, const Value& right, Budget& budget) {
  budget.step();
  require_defined(left);
  require_defined(right);
  if (left.is_number() && right.is_number()) return std::is_lt(compare_numbers(left, right));
  // UTF-8 keeps the order of code points.
  if (left.text() && right.text()) return left.text()->bytes < right.text()->bytes;
  if (left.list() && right.list() && same_kind(*left.list(), *right.list())) {
    const auto& mine = left.list()->items;
    const auto& other = right.list()->items;
    for (size_t i = 0; i < std::min(mine.size(), other.size()); ++i)
      if (!mine[i].is(other[i]) && !equal(mine[i], other[i], budget))
        return less(mine[i], other[i], budget);
    return mine.size() < other.size();
  }
  raise("'<' not supported between instances of '{}' and '{}'", left.type_name(),
        right.type_name());
}

bool compare(Runtime& runtime, Comparison operation, const Value& left, const Value& right) {
  Budget& budget = runtime.budget;
  // Written with `less` alone, so that NaN is told apart: it is neither less nor equal.
  const auto less_or_equal = [&](const Value& a, const Value& b) {
    return less(a, b, budget) || equal(a, b, budget);
  };
  switch (operation) {
    case Comparison::kEqual:
      return equal(left, right, budget);
    case Comparison::kNotEqual:
      return !equal(left, right, budget);
    case Comparison::kLess:
      return less(left, right, budget);
    case Comparison::kLessEqual:
      return less_or_equal(left, right);
    case Comparison::kGreater:
      return less(right, left, budget);
    case Comparison::kGreaterEqual:
      return less_or_equal(right, left);
    case Comparison::kIn:
      return contains(runtime, right, left);
    case Comparison::kNotIn:
      return !contains(runtime, right, left);
  }
  raise("unknown comparison");
}

bool contains(Runtime& runtime, const Value& container, const Value& item) {
  if (const Text* text = container.text()) {
    const Text* part = item.text();
    if (!part) raise("'in <string>' requires string as left operand, not {}", item.type_name());
    runtime.budget.step(1 + static_cast<int64_t>(text->bytes.size() / 64));
    return text->bytes.find(part->bytes) != std::string::npos;
  }
  if (const Dict* dict = container.dict()) return dict->find(item, runtime.budget) != nullptr;
  if (const auto* range = container.object_as<Range>(); range && item.as_integer())
    return range->index_of(*item.as_integer()).has_value();
  const CursorRef cursor = try_iterate(runtime, container);
  if (!cursor) raise("argument of type '{}' is not iterable", container.type_name());
  for (Value element; cursor->next(runtime, element);)
    if (element.is(item) || equal(element, item, runtime.budget)) return true;
  return false;
}

size_t hash_of(const Value& value, Budget& budget) {
  budget.step();
  if (const Text* text = value.text()) return std::hash<std::string_view>()(text->bytes);
  if (const auto number = value.as_integer()) return std::hash<int64_t>()(*number);
  if (const double* number = value.real()) {
    const bool whole = *number >= -kTwo63 && *number < kTwo63 && std::trunc(*number) == *number;
    return whole ? std::hash<int64_t>()(static_cast<int64_t>(*number))
                 : std::hash<double>()(*number);
  }
  if (const List* list = value.list(); list && list->kind != ListKind::kList) {
    size_t hash = list->items.size();
    for (const Value& item : list->items) hash = combine(hash, hash_of(item, budget));
    return hash;
  }
  if (value.list() || value.dict()) raise("unhashable type: '{}'", value.type_name());
  if (const auto* range = value.object_as<Range>()) return std::hash<int64_t>()(range->size());
  return std::hash<const void*>()(value.object());  // none and undefined: null
}

}  // namespace strake::jinja
