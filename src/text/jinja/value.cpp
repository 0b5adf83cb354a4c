#include "text/jinja/value.h"

#include <algorithm>
#include <functional>

#include "text/jinja/compare.h"
#include "text/jinja/unicode.h"

namespace strake::jinja {

Value::Value(std::string text, Escaping escaping) {
  const size_t length = count_code_points(text);
  data_ = std::make_shared<const Text>(Text{std::move(text), length, escaping});
}

Value Value::list(std::vector<Value> items, ListKind kind) {
  require_list_size(static_cast<int64_t>(items.size()));
  const int depth = nesting_of(items);
  Value value;
  value.data_ = std::make_shared<const List>(List{kind, std::move(items), depth});
  return value;
}

Value Value::undefined(std::string message) {
  Value value;
  value.data_ = std::make_shared<const Undefined>(Undefined{std::move(message)});
  return value;
}

std::optional<int64_t> Value::as_integer() const {
  if (const auto* flag = boolean()) return *flag ? 1 : 0;
  if (const auto* number = integer()) return *number;
  return std::nullopt;
}

std::optional<double> Value::as_real() const {
  if (const auto* number = real()) return *number;
  if (const auto number = as_integer()) return static_cast<double>(*number);
  return std::nullopt;
}

bool Value::is(const Value& other) const {
  if (data_.index() != other.data_.index()) return false;
  return std::visit(
      [&]<class T>(const T& mine) {
        if constexpr (std::is_same_v<T, Missing> || std::is_same_v<T, None>)
          return true;
        else
          return mine == std::get<T>(other.data_);
      },
      data_);
}

int Value::depth() const {
  if (const auto* items = list()) return items->depth;
  if (const auto* entries = dict()) return entries->depth();
  if (const auto* thing = object()) return thing->depth();
  return 0;
}

std::string Value::type_name() const {
  if (is_none()) return "NoneType";
  if (boolean()) return "bool";
  if (integer()) return "int";
  if (real()) return "float";
  if (const auto* string = text()) return string->escaping == Escaping::kMarkup ? "Markup" : "str";
  if (const auto* items = list()) return items->kind == ListKind::kList ? "list" : "tuple";
  if (dict()) return "dict";
  if (const auto* thing = object()) return thing->type_name();
  return "Undefined";
}

int nesting_of(std::span<const Value> values) {
  int deepest = 0;
  for (const Value& value : values) deepest = std::max(deepest, value.depth());
  if (deepest >= kMaxDepth) raise("values are nested deeper than {} levels", kMaxDepth);
  return deepest + 1;
}

void Dict::set(Value key, Value value, Budget& budget) {
  const size_t hash = hash_of(key, budget);
  const size_t at = position(key, hash, budget);
  if (at == kNowhere) return append(std::move(key), std::move(value), hash);
  depth_ = std::max(depth_, nesting_of({&value, 1}));
  entries_[at].second = std::move(value);
}

void Dict::set(std::string_view key, Value value) {
  const size_t hash = std::hash<std::string_view>()(key);
  const size_t at = position(key, hash);
  if (at == kNowhere) return append(Value(key), std::move(value), hash);
  depth_ = std::max(depth_, nesting_of({&value, 1}));
  entries_[at].second = std::move(value);
}

const Value* Dict::find(const Value& key, Budget& budget) const {
  const size_t at = position(key, hash_of(key, budget), budget);
  return at == kNowhere ? nullptr : &entries_[at].second;
}

const Value* Dict::find(std::string_view key) const {
  const size_t at = position(key, std::hash<std::string_view>()(key));
  return at == kNowhere ? nullptr : &entries_[at].second;
}

void Dict::clear() {
  entries_.clear();
  hashes_.clear();
  slots_.clear();
}

size_t Dict::position(const Value& key, size_t hash, Budget& budget) const {
  if (const Text* text = key.text()) return position(text->bytes, hash);
  const auto matches = [&](size_t at) {
    return hashes_[at] == hash && equal(entries_[at].first, key, budget);
  };
  if (slots_.empty()) {
    for (size_t at = 0; at < entries_.size(); ++at)
      if (matches(at)) return at;
    return kNowhere;
  }
  for (size_t probe = slot(hash); slots_[probe] != kNowhere; probe = slot(probe + 1))
    if (matches(slots_[probe])) return slots_[probe];
  return kNowhere;
}

size_t Dict::position(std::string_view key, size_t hash) const {
  const auto matches = [&](size_t at) {
    const Text* text = entries_[at].first.text();
    return hashes_[at] == hash && text && text->bytes == key;
  };
  if (slots_.empty()) {
    for (size_t at = 0; at < entries_.size(); ++at)
      if (matches(at)) return at;
    return kNowhere;
  }
  for (size_t probe = slot(hash); slots_[probe] != kNowhere; probe = slot(probe + 1))
    if (matches(slots_[probe])) return slots_[probe];
  return kNowhere;
}

void Dict::append(Value key, Value value, size_t hash) {
  constexpr size_t kFew = 8;
  const Value parts[] = {key, value};
  depth_ = std::max(depth_, nesting_of(parts));
  entries_.emplace_back(std::move(key), std::move(value));
  hashes_.push_back(hash);
  const auto place = [&](size_t at) {
    size_t probe = slot(hashes_[at]);
    while (slots_[probe] != kNowhere) probe = slot(probe + 1);
    slots_[probe] = at;
  };
  if (entries_.size() <= kFew) return;
  if (entries_.size() * 2 <= slots_.size()) return place(entries_.size() - 1);
  slots_.assign(std::max(4 * kFew, slots_.size() * 2), kNowhere);
  for (size_t at = 0; at < entries_.size(); ++at) place(at);
}

Value Object::call(Runtime&, const Arguments&) {
  raise("'{}' object is not callable", type_name());
}

}  // namespace strake::jinja
