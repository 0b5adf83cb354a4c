// A parsed template and its rendering.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/json.h"
#include "text/jinja/budget.h"
#include "text/jinja/runtime.h"

namespace strake::jinja {

struct Program;

// The environment is Jinja's immutable sandbox as Hugging Face sets it up: trim_blocks,
// lstrip_blocks, loop controls, tojson without HTML escapes, raise_exception, strftime_now.
class Template {
 public:
  // Throws Error(kCheckpoint) with `what` and the line on syntax errors, Error(kUnsupported) for
  // block, extends, include and import.
  static Template parse(std::string_view source, std::string_view what);

  // `variables` is an object. Throws Error(kUsage) with the line when the template fails or
  // exceeds a limit, and with the template's own message when it calls raise_exception().
  std::string render(const Json& variables, const Clock& clock, const Limits& limits = {}) const;

 private:
  Template(std::shared_ptr<const Program> program, std::string what)
      : program_(std::move(program)), what_(std::move(what)) {}
  std::shared_ptr<const Program> program_;
  std::string what_;
};

}  // namespace strake::jinja
