// Filters that order, group and cut sequences.
#include <algorithm>
#include <array>

#include "text/jinja/access.h"
#include "text/jinja/compare.h"
#include "text/jinja/filters.h"
#include "text/jinja/operators.h"
#include "text/jinja/runtime.h"
#include "text/jinja/text_parts.h"

namespace strake::jinja {
namespace {

bool flag(Runtime& runtime, const Value& option) {
  return !option.is_missing() && truth(runtime, option);
}

Case letters(Runtime& runtime, const Value& case_sensitive) {
  return flag(runtime, case_sensitive) ? Case::kKept : Case::kIgnored;
}

std::vector<Value> values_of(std::vector<Keyed> items) {
  std::vector<Value> values;
  for (Keyed& item : items) values.push_back(std::move(item.value));
  return values;
}

Value sort(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const auto bound = bind("sort", arguments, {"reverse", "case_sensitive", "attribute"});
  std::vector<AttributePath> paths;
  if (const Text* text = bound[2].text())
    for (const auto part : split_at(text->bytes, ",", kMaxTextBytes))
      paths.emplace_back(Value(part));
  else
    paths.emplace_back(bound[2]);
  const Case kept = letters(runtime, bound[1]);
  std::vector<Keyed> items;
  for (Value& item : to_vector(runtime, value)) {
    std::vector<Value> keys;
    for (const AttributePath& path : paths)
      keys.push_back(sort_key(path.follow(runtime, item), kept));
    items.push_back({Value::list(std::move(keys)), std::move(item)});
  }
  sort_keyed(runtime, items, flag(runtime, bound[0]) ? Order::kDescending : Order::kAscending);
  return Value::list(values_of(std::move(items)));
}

Value dict_sort(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const auto bound = bind("dictsort", arguments, {"case_sensitive", "by", "reverse"});
  const std::string by = bound[1].is_missing() ? "key" : text_argument("dictsort", bound[1]).bytes;
  if (by != "key" && by != "value") raise("You can only sort by either \"key\" or \"value\"");
  require_defined(value);
  if (!value.dict()) raise("'{}' object has no attribute 'items'", value.type_name());
  const Case kept = letters(runtime, bound[0]);
  std::vector<Keyed> items;
  for (const auto& [key, item] : value.dict()->entries())
    items.push_back({sort_key(by == "key" ? key : item, kept), Value::tuple({key, item})});
  sort_keyed(runtime, items, flag(runtime, bound[2]) ? Order::kDescending : Order::kAscending);
  return Value::list(values_of(std::move(items)));
}

Value group_by(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const auto bound = bind("groupby", arguments, {"attribute", "default", "case_sensitive"}, 1);
  const AttributePath path(bound[0]);
  const Case kept = letters(runtime, bound[2]);
  std::vector<Keyed> items;
  for (Value& item : to_vector(runtime, value))
    items.push_back({sort_key(path.follow(runtime, item, bound[1]), kept), std::move(item)});
  sort_keyed(runtime, items, Order::kAscending);
  std::vector<Value> groups;
  for (size_t begin = 0; begin < items.size();) {
    size_t end = begin;
    std::vector<Value> members;
    while (end < items.size() && equal(items[begin].key, items[end].key, runtime.budget))
      members.push_back(items[end++].value);
    // A key that does not equal itself, NaN, is alone.
    if (end == begin) members.push_back(items[end++].value);
    Value name =
        kept == Case::kKept ? items[begin].key : path.follow(runtime, items[begin].value, bound[1]);
    groups.push_back(
        Value::list({std::move(name), Value::list(std::move(members))}, ListKind::kGroup));
    begin = end;
  }
  return Value::list(std::move(groups));
}

Value unique(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const auto bound = bind("unique", arguments, {"case_sensitive", "attribute"});
  const Case kept = letters(runtime, bound[0]);
  return generate("generator", {&value, 1},
                  [kept, path = AttributePath(bound[1]), cursor = iterate_later(value),
                   seen = std::make_shared<Dict>()](Runtime& r, Value& out) {
                    while (cursor->next(r, out)) {
                      const Value key = sort_key(path.follow(r, out), kept);
                      if (seen->find(key, r.budget)) continue;
                      seen->set(key, None{}, r.budget);
                      return true;
                    }
                    return false;
                  });
}

enum class Extreme { kLeast, kGreatest };

Value extreme(Runtime& runtime, const Value& value, const Arguments& arguments, Extreme which) {
  const auto bound = bind("min", arguments, {"case_sensitive", "attribute"});
  const Case kept = letters(runtime, bound[0]);
  const AttributePath path(bound[1]);
  const CursorRef cursor = iterate(runtime, value);
  Value best;
  Value best_key;
  for (Value item; cursor->next(runtime, item);) {
    const Value key = sort_key(path.follow(runtime, item), kept);
    const bool better =
        best.is_missing() || (which == Extreme::kLeast ? less(key, best_key, runtime.budget)
                                                       : less(best_key, key, runtime.budget));
    if (!better) continue;
    best = item;
    best_key = key;
  }
  return best.is_missing() ? Value::undefined("No aggregated item, sequence was empty.") : best;
}
Value least(Runtime& runtime, const Value& value, const Arguments& arguments) {
  return extreme(runtime, value, arguments, Extreme::kLeast);
}
Value greatest(Runtime& runtime, const Value& value, const Arguments& arguments) {
  return extreme(runtime, value, arguments, Extreme::kGreatest);
}

Value sum(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const auto bound = bind("sum", arguments, {"attribute", "start"});
  const AttributePath path(bound[0]);
  Value total = bound[1].is_missing() ? Value(int64_t{0}) : bound[1];
  if (total.text()) raise("sum() can't sum strings [use ''.join(seq) instead]");
  const CursorRef cursor = iterate(runtime, value);
  for (Value item; cursor->next(runtime, item);)
    total = apply(runtime, Operator::kAdd, total, path.follow(runtime, item));
  return total;
}

Value batch(Runtime&, const Value& value, const Arguments& arguments) {
  const auto bound = bind("batch", arguments, {"linecount", "fill_with"}, 1);
  const int64_t size = integer_argument("batch", bound[0]);
  const Value sources[] = {value, bound[1]};
  return generate("generator", sources,
                  [size, fill = bound[1], cursor = iterate_later(value), held = Value()](
                      Runtime& r, Value& out) mutable {
                    std::vector<Value> row;
                    if (!held.is_missing()) row.push_back(std::exchange(held, Value()));
                    for (Value item; cursor->next(r, item); row.push_back(item)) {
                      if (static_cast<int64_t>(row.size()) != size) continue;
                      held = item;
                      break;
                    }
                    // A size of zero gives one empty row first, then everything.
                    if (row.empty() && held.is_missing()) return false;
                    const bool filled = held.is_missing() && !fill.is_missing() && !fill.is_none();
                    if (filled && static_cast<int64_t>(row.size()) < size) {
                      require_list_size(size);
                      row.resize(static_cast<size_t>(size), fill);
                    }
                    out = r.made(Value::list(std::move(row)));
                    return true;
                  });
}

// The elements in that many columns, the first ones longer by one where they do not divide evenly.
Value columns_of(Runtime& runtime, const Value& value, int64_t columns, const Value& fill) {
  const std::vector<Value> items = to_vector(runtime, value);
  if (columns == 0) raise("integer division or modulo by zero");
  require_list_size(columns);
  const auto size = static_cast<int64_t>(items.size());
  std::vector<Value> result;
  auto next = items.begin();
  for (int64_t i = 0; i < columns; ++i) {
    runtime.budget.allocate(sizeof(List));
    const bool longer = i < size % columns;
    const auto end = next + size / columns + (longer ? 1 : 0);
    std::vector<Value> column(next, end);
    if (!longer && !fill.is_missing() && !fill.is_none()) column.push_back(fill);
    result.push_back(Value::list(std::move(column)));
    next = end;
  }
  return Value::list(std::move(result));
}

Value slice(Runtime&, const Value& value, const Arguments& arguments) {
  const auto bound = bind("slice", arguments, {"slices", "fill_with"}, 1);
  const Value sources[] = {value, bound[0], bound[1]};
  return generate("generator", sources,
                  [value, bound, cursor = CursorRef()](Runtime& runtime, Value& out) mutable {
                    if (!cursor) {
                      const int64_t columns = integer_argument("slice", bound[0]);
                      cursor = iterate(runtime, columns_of(runtime, value, columns, bound[1]));
                    }
                    return cursor->next(runtime, out);
                  });
}

constexpr std::array<Filter, 9> kFilters{{
    {"sort", sort},
    {"dictsort", dict_sort},
    {"groupby", group_by},
    {"unique", unique},
    {"min", least},
    {"max", greatest},
    {"sum", sum},
    {"batch", batch},
    {"slice", slice},
}};

}  // namespace

std::span<const Filter> order_filters() { return kFilters; }

}  // namespace strake::jinja
