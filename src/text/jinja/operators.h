// Arithmetic as Python does it, with integers of 64 bits: an overflow is an error.
#pragma once

#include "text/jinja/value.h"

namespace strake::jinja {

enum class Operator { kAdd, kSubtract, kMultiply, kDivide, kFloorDivide, kModulo, kPower };

Value apply(Runtime& runtime, Operator operation, const Value& left, const Value& right);
Value negated(const Value& value);
// Unary plus.
Value as_number(const Value& value);

}  // namespace strake::jinja
