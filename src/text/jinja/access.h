// Reaching into values: attributes, subscripts, slices, lengths and elements.
#pragma once

#include <functional>

#include "text/jinja/value.h"

namespace strake::jinja {

// Throws the value's own message when it is undefined.
void require_defined(const Value& value);

bool truth(Runtime& runtime, const Value& value);
// Nothing for what has no length.
std::optional<int64_t> length_of(Runtime& runtime, const Value& value);
Value call(Runtime& runtime, const Value& callee, const Arguments& arguments);

// x.name: the attribute if there is one, else the item of that name, else undefined.
Value get_attribute(Runtime& runtime, const Value& value, std::string_view name);
// x[key]: the item if there is one, else the attribute of that name, else undefined.
Value get_item(Runtime& runtime, const Value& value, const Value& key);
// x[start:stop:step]; an absent bound is none.
struct Slice {
  Value start, stop, step;
};
Value get_slice(Runtime& runtime, const Value& value, const Slice& slice);
// Only what a mapping or sequence contains, without methods: nothing if there is no such item.
std::optional<Value> find_item(Runtime& runtime, const Value& value, const Value& key);
// Only methods and properties.
std::optional<Value> find_attribute(Runtime& runtime, const Value& value, std::string_view name);

// Null for what cannot be iterated.
CursorRef try_iterate(Runtime& runtime, const Value& value);
// Throws for what cannot be iterated.
CursorRef iterate(Runtime& runtime, const Value& value);
// Iterates, or throws, when the first element is asked for, as generators do.
CursorRef iterate_later(Value value);
std::vector<Value> to_vector(Runtime& runtime, const Value& value);
std::vector<Value> drain(Runtime& runtime, Cursor& cursor);
// The elements from the last to the first; nothing for what Python cannot reverse.
std::optional<Value> reversed(Runtime& runtime, const Value& value);

class Range : public Object {
 public:
  Range(int64_t start, int64_t stop, int64_t step);
  int64_t start() const { return start_; }
  int64_t step() const { return step_; }
  int64_t size() const { return size_; }
  int64_t at(int64_t index) const { return start_ + index * step_; }
  std::optional<int64_t> index_of(int64_t value) const;
  bool same_elements(const Range& other) const;
  // Every step-th of the elements from `first` on.
  Value part(int64_t first, int64_t step, int64_t count) const;

  std::string type_name() const override { return "range"; }
  std::string print(int) const override;
  std::optional<Value> item(Runtime&, const Value& key) override;
  std::optional<int64_t> length(Runtime&) override { return size_; }
  CursorRef iterate(Runtime&) override;

 private:
  int64_t start_, stop_, step_, size_;
};

enum class DictPart { kKeys, kValues, kItems };

class DictView : public Object {
 public:
  DictView(std::shared_ptr<const Dict> dict, DictPart part);
  std::string type_name() const override;
  std::string print(int depth) const override;
  std::optional<int64_t> length(Runtime&) override;
  CursorRef iterate(Runtime&) override;
  Value element(const Dict::Entry& entry) const;
  std::vector<Value> elements() const;

 private:
  std::shared_ptr<const Dict> dict_;
  DictPart part_;
};

// Elements made one at a time, as they are asked for.
class Generator : public Object {
 public:
  using Step = std::function<bool(Runtime&, Value&)>;
  Generator(std::string type_name, int depth, Step step);
  std::string type_name() const override { return type_name_; }
  CursorRef iterate(Runtime&) override { return cursor_; }

 private:
  std::string type_name_;
  CursorRef cursor_;
};
CursorRef make_cursor(Generator::Step step);
// `sources` are the values that `step` holds.
Value generate(std::string type_name, std::span<const Value> sources, Generator::Step step);

}  // namespace strake::jinja
