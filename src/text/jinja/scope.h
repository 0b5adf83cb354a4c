// Where each variable of a template lives: decided once, before rendering.
#pragma once

#include <string_view>

#include "text/jinja/parser.h"

namespace strake::jinja {

// Blocks of `for`, `macro`, `call`, `set`, `filter` and `with` have scopes of their own: what they
// assign is gone behind them, and a name from further out is copied in when they are entered.
// The branches of `if` belong to the scope around them. A name that nothing assigns comes from
// the template's variables.
void resolve_scopes(Program& program, std::string_view what);

}  // namespace strake::jinja
