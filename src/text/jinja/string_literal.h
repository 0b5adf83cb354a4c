// The escapes of string literals.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace strake::jinja {

// What stands between the quotes, with \n, \x41, \u00e9 and the like replaced. Nothing, and a
// problem, for a broken escape, \N{...}, and surrogates, which UTF-8 cannot hold.
std::optional<std::string> unescape(std::string_view literal, std::string& problem);

}  // namespace strake::jinja
