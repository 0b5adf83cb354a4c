// Equality, order and membership.
#pragma once

#include <cstddef>

#include "text/jinja/value.h"

namespace strake::jinja {

bool equal(const Value& left, const Value& right, Budget& budget);
// Throws for values without an order among them.
bool less(const Value& left, const Value& right, Budget& budget);

enum class Comparison {
  kEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kIn,
  kNotIn
};
bool compare(Runtime& runtime, Comparison operation, const Value& left, const Value& right);

bool contains(Runtime& runtime, const Value& container, const Value& item);

// Equal values have equal hashes. Throws for lists and dicts.
size_t hash_of(const Value& value, Budget& budget);

}  // namespace strake::jinja
