#include "text/jinja/template.h"

#include "text/jinja/interpreter.h"
#include "text/jinja/json_text.h"
#include "text/jinja/parser.h"

namespace strake::jinja {

Template Template::parse(std::string_view source, std::string_view what) {
  try {
    return {std::make_shared<const Program>(parse_program(source, what)), std::string(what)};
  } catch (const Error& error) {
    // Literals are values: what is wrong with one is the template's fault.
    if (error.kind() == ErrorKind::kUsage)
      fail(ErrorKind::kCheckpoint, "{}: {}", what, error.what());
    throw;
  }
}

std::string Template::render(const Json& variables, const Clock& clock,
                             const Limits& limits) const {
  const Value values = from_json(variables);
  if (!values.dict()) raise("{}: the variables are not an object", what_);
  Runtime runtime(limits, clock);
  Interpreter interpreter(runtime, *values.dict());
  try {
    return interpreter.run(*program_);
  } catch (const TemplateException&) {
    throw;
  } catch (const Error& error) {
    fail(error.kind(), "{}, line {}: {}", what_, interpreter.line(), error.what());
  }
}

}  // namespace strake::jinja
