// The one place where the "type" of a tokenizer's component becomes C++: a table of makers.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

#include "base/fail.h"
#include "text/tokenizer_json.h"

namespace strake::text {

template <class Component>
struct Maker {
  std::string_view type;
  Component (*make)(const JsonNode&);
};

// Makes the component that `node.type` names. Throws Error(kUnsupported) with the known types.
template <class Component, size_t count>
Component make_component(const JsonNode& node, const Maker<Component> (&makers)[count]) {
  const JsonNode type = node.at("type");
  for (const auto& maker : makers)
    if (maker.type == type.string()) return maker.make(node);
  std::string known;
  for (const auto& maker : makers) known += fmt::format(" {}", maker.type);
  fail(ErrorKind::kUnsupported, "{}: '{}' is not known; known are{}", type.path(), type.string(),
       known);
}

}  // namespace strake::text
