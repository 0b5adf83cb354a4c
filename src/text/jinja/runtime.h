// What operations on values need from the rendering that they are part of.
#pragma once

#include <ctime>
#include <functional>
#include <memory>
#include <vector>

#include "text/jinja/value.h"

namespace strake::jinja {

// raise_exception() in a template: its message reaches the user as it is.
class TemplateException : public Error {
 public:
  explicit TemplateException(const std::string& message) : Error(ErrorKind::kUsage, message) {}
};

using Clock = std::function<std::tm()>;  // the local time

class Runtime {
 public:
  Runtime(const Limits& limits, const Clock& clock) : budget(limits), clock_(clock) {}
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;
  // Ends circles of references, one object after the other.
  ~Runtime() {
    for (const auto& object : kept_) object->clear();
  }

  template <std::derived_from<Clearable> T>
  std::shared_ptr<T> keep(std::shared_ptr<T> object) {
    kept_.push_back(object);
    budget.allocate(sizeof(T));
    return object;
  }
  std::tm now() const { return clock_(); }

  // Charges for a value that an operation has just made.
  Value made(Value value) {
    if (const Text* text = value.text())
      budget.allocate(static_cast<int64_t>(text->bytes.size() + sizeof(Text)));
    else if (const List* list = value.list())
      budget.allocate(static_cast<int64_t>(list->items.size() * sizeof(Value) + sizeof(List)));
    return value;
  }

  Budget budget;

 private:
  const Clock& clock_;
  std::vector<std::shared_ptr<Clearable>> kept_;
};

}  // namespace strake::jinja
