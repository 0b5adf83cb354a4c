#include "text/jinja/filters.h"

#include <algorithm>

#include "text/jinja/access.h"
#include "text/jinja/compare.h"
#include "text/jinja/runtime.h"
#include "text/jinja/text_parts.h"
#include "text/jinja/unicode.h"

namespace strake::jinja {
namespace {

bool all_digits(std::string_view text) {
  return !text.empty() && text.size() < 18 &&
         text.find_first_not_of("0123456789") == std::string_view::npos;
}

}  // namespace

const Filter* find_filter(std::string_view name) {
  for (const auto filters :
       {text_filters(), value_filters(), order_filters(), selection_filters()}) {
    const auto found = std::ranges::find(filters, name, &Filter::name);
    if (found != filters.end()) return &*found;
  }
  return nullptr;
}

Value apply_filter(Runtime& runtime, const Filter& filter, const Value& value,
                   const Arguments& arguments) {
  const Text* text = value.text();
  runtime.budget.step(1 + (text ? static_cast<int64_t>(text->bytes.size() / 16) : 0));
  return runtime.made(filter.function(runtime, value, arguments));
}

AttributePath::AttributePath(const Value& attribute) {
  const Text* text = attribute.text();
  if (attribute.is_missing() || attribute.is_none()) return;
  if (!text) {
    parts_.push_back(attribute);
    return;
  }
  for (const auto part : split_at(text->bytes, ".", kMaxTextBytes))
    parts_.push_back(all_digits(part) ? Value(int64_t{std::stoll(std::string(part))})
                                      : Value(part));
}

Value AttributePath::follow(Runtime& runtime, Value value, const Value& fallback) const {
  for (const Value& part : parts_) {
    value = get_item(runtime, value, part);
    if (value.is_undefined() && !fallback.is_missing() && !fallback.is_none()) value = fallback;
  }
  return value;
}

Value sort_key(const Value& value, Case letters) {
  const Text* text = value.text();
  return text && letters == Case::kIgnored ? Value(to_lower(text->bytes)) : value;
}

void sort_keyed(Runtime& runtime, std::vector<Keyed>& items, Order order) {
  std::ranges::stable_sort(items, [&](const Keyed& a, const Keyed& b) {
    return order == Order::kAscending ? less(a.key, b.key, runtime.budget)
                                      : less(b.key, a.key, runtime.budget);
  });
}

}  // namespace strake::jinja
