#include "text/tokenizer_metaspace.h"

#include "base/fail.h"
#include "text/tokenizer_unicode.h"

namespace strake::text {
namespace {

PrependScheme parse_scheme(const JsonNode& node) {
  const auto scheme = node.find("prepend_scheme");
  const auto old_flag = node.find("add_prefix_space");
  PrependScheme parsed = PrependScheme::kAlways;
  if (scheme) {
    if (scheme->string() == "never")
      parsed = PrependScheme::kNever;
    else if (scheme->string() == "first")
      parsed = PrependScheme::kFirst;
    else if (scheme->string() != "always")
      fail(ErrorKind::kUnsupported, "{}: '{}' is not known; known are always first never",
           scheme->path(), scheme->string());
  }
  if (!old_flag || old_flag->boolean()) return parsed;
  if (parsed != PrependScheme::kNever)
    fail(ErrorKind::kCheckpoint, "{}: false contradicts prepend_scheme '{}'", old_flag->path(),
         scheme ? scheme->string() : "always");
  return parsed;
}

}  // namespace

Metaspace Metaspace::parse(const JsonNode& node) {
  std::string replacement;
  append_utf8(replacement, node.at("replacement").character());
  const auto split = node.find("split");
  return {std::move(replacement), parse_scheme(node), !split || split->boolean()};
}

}  // namespace strake::text
