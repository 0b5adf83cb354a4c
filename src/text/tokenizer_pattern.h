// The pattern language of tokenizer.json, in terms of the engine used here.
#pragma once

#include <string>
#include <string_view>

namespace strake::text {

// Tokenizers are written for Oniguruma's Ruby syntax with Unicode classes. Returns a pattern that
// means the same to PCRE2 (UTF, UCP, MULTILINE). Where the two disagree the difference is spelled
// out: what \s, \w, \h and \b cover, (?m), {,n}, {n}? and {n,m}+, \p{Script}.
// Throws Error(kUnsupported) on a construct that cannot be carried over (nested classes and
// intersections, options in mid-pattern, \X, \K, ...), naming it and its position.
std::string to_pcre2_pattern(std::string_view pattern);

}  // namespace strake::text
