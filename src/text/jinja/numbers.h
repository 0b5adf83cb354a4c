// Numbers in text, by Python's rules for int() and float().
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace strake::jinja {

// White space around, a sign, single underscores between digits; base 0 and 16 take 0x, and so on.
// Nothing for other text; throws for what does not fit in 64 bits.
std::optional<int64_t> parse_integer(std::string_view text, int64_t base);
std::optional<double> parse_real(std::string_view text);

// To `digits` decimals, halves to even.
double round_real(double number, int64_t digits);
int64_t round_integer(int64_t number, int64_t digits);
// Towards zero; throws for what does not fit in 64 bits.
int64_t truncate_real(double number);

}  // namespace strake::jinja
