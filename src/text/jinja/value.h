// The values that templates compute with: Python's, as far as templates can tell.
#pragma once

#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "text/jinja/budget.h"

namespace strake::jinja {

class Dict;
class Object;
struct List;
class Value;
using ObjectRef = std::shared_ptr<Object>;

struct Missing {};  // a variable that nothing was assigned to; never the result of an expression
struct None {};

// What an unknown name or attribute yields. It prints as nothing; other uses raise `message`.
struct Undefined {
  std::string message;
};

enum class Escaping { kPlain, kMarkup };

struct Text {
  std::string bytes;  // valid UTF-8
  size_t length;      // code points
  Escaping escaping;  // markup escapes what is joined to it
  bool ascii() const { return length == bytes.size(); }
};

enum class ListKind { kList, kTuple, kGroup };  // a group is a tuple (grouper, list)

class Value {
 public:
  Value() : data_(Missing{}) {}
  Value(None) : data_(None{}) {}
  explicit Value(std::same_as<bool> auto flag) : data_(flag) {}
  explicit Value(std::same_as<int64_t> auto number) : data_(number) {}
  explicit Value(double number) : data_(number) {}
  explicit Value(std::string text, Escaping escaping = Escaping::kPlain);
  explicit Value(std::string_view text) : Value(std::string(text)) {}
  explicit Value(const char* text) : Value(std::string(text)) {}
  explicit Value(std::shared_ptr<const Dict> dict) : data_(std::move(dict)) {}
  Value(ObjectRef object) : data_(std::move(object)) {}
  // Throws when the items are nested too deep.
  static Value list(std::vector<Value> items, ListKind kind = ListKind::kList);
  static Value tuple(std::vector<Value> items) { return list(std::move(items), ListKind::kTuple); }
  static Value undefined(std::string message);

  bool is_missing() const { return std::holds_alternative<Missing>(data_); }
  bool is_none() const { return std::holds_alternative<None>(data_); }
  bool is_undefined() const { return undefined() != nullptr; }
  bool is_number() const { return data_.index() >= 2 && data_.index() <= 4; }
  const bool* boolean() const { return std::get_if<bool>(&data_); }
  const int64_t* integer() const { return std::get_if<int64_t>(&data_); }
  const double* real() const { return std::get_if<double>(&data_); }
  const Undefined* undefined() const { return get<const Undefined>(); }
  const Text* text() const { return get<const Text>(); }
  const List* list() const { return get<const List>(); }
  const Dict* dict() const { return get<const Dict>(); }
  Object* object() const { return get<Object>(); }
  template <class T>
  T* object_as() const;

  std::shared_ptr<const Dict> shared_dict() const {
    return std::get<std::shared_ptr<const Dict>>(data_);
  }
  ObjectRef shared_object() const { return std::get<ObjectRef>(data_); }

  // Booleans count as 0 and 1, as they do in arithmetic and subscripts.
  std::optional<int64_t> as_integer() const;
  std::optional<double> as_real() const;

  // Same object, or same scalar of the same type.
  bool is(const Value& other) const;
  // Containers above the deepest scalar.
  int depth() const;
  std::string type_name() const;

 private:
  template <class T>
  T* get() const {
    const auto* ref = std::get_if<std::shared_ptr<T>>(&data_);
    return ref ? ref->get() : nullptr;
  }
  std::variant<Missing, None, bool, int64_t, double, std::shared_ptr<const Undefined>,
               std::shared_ptr<const Text>, std::shared_ptr<const List>,
               std::shared_ptr<const Dict>, ObjectRef>
      data_;
};

struct List {
  ListKind kind;
  std::vector<Value> items;
  int depth;
};

// One more than the deepest of the values; throws when that is too deep.
int nesting_of(std::span<const Value> values);

// Insertion order is kept; a repeated key keeps its place and takes the new value.
class Dict {
 public:
  using Entry = std::pair<Value, Value>;
  // Throws when the key cannot be hashed or the value is nested too deep.
  void set(Value key, Value value, Budget& budget);
  void set(std::string_view key, Value value);
  const Value* find(const Value& key, Budget& budget) const;
  const Value* find(std::string_view key) const;
  const std::vector<Entry>& entries() const { return entries_; }
  int depth() const { return depth_; }
  void clear();

 private:
  static constexpr size_t kNowhere = static_cast<size_t>(-1);
  size_t position(const Value& key, size_t hash, Budget& budget) const;
  size_t position(std::string_view key, size_t hash) const;
  size_t slot(size_t hash) const { return hash & (slots_.size() - 1); }
  void append(Value key, Value value, size_t hash);
  std::vector<Entry> entries_;
  std::vector<size_t> hashes_;
  std::vector<size_t> slots_;  // open addressing, positions in entries_; empty while there are few
  int depth_ = 1;
};

class Runtime;
struct Arguments;

// A source of elements, read once.
class Cursor {
 public:
  virtual ~Cursor() = default;
  // False at the end.
  virtual bool next(Runtime& runtime, Value& out) = 0;
};
using CursorRef = std::shared_ptr<Cursor>;

// What changes after it was made, and can therefore come to refer to itself.
class Clearable {
 public:
  virtual ~Clearable() = default;
  // Drops what it refers to.
  virtual void clear() = 0;
};

// Whatever is no plain data: views, generators, loops, namespaces, functions.
class Object : public std::enable_shared_from_this<Object> {
 public:
  explicit Object(int depth) : depth_(depth) {}
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;
  virtual ~Object() = default;

  int depth() const { return depth_; }
  virtual std::string type_name() const = 0;
  virtual std::string print(int) const { return "<" + type_name() + " object>"; }
  virtual std::optional<Value> attribute(Runtime&, std::string_view) { return std::nullopt; }
  virtual std::optional<Value> item(Runtime&, const Value&) { return std::nullopt; }
  virtual std::optional<int64_t> length(Runtime&) { return std::nullopt; }
  virtual CursorRef iterate(Runtime&) { return nullptr; }
  virtual bool callable() const { return false; }
  virtual Value call(Runtime& runtime, const Arguments& arguments);

 private:
  int depth_;
};

template <class T>
T* Value::object_as() const {
  return dynamic_cast<T*>(object());
}

}  // namespace strake::jinja
