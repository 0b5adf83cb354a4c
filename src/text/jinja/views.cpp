// Ranges, dict views and generators.
#include <algorithm>
#include <limits>

#include "text/jinja/access.h"
#include "text/jinja/print.h"
#include "text/jinja/runtime.h"

namespace strake::jinja {
namespace {

__extension__ using Wide = __int128;

int64_t saturate(Wide value) {
  constexpr Wide kLow = std::numeric_limits<int64_t>::min();
  constexpr Wide kHigh = std::numeric_limits<int64_t>::max();
  return static_cast<int64_t>(std::clamp(value, kLow, kHigh));
}

int64_t range_size(Wide start, Wide stop, Wide step) {
  const Wide span = step > 0 ? stop - start : start - stop;
  const Wide stride = step > 0 ? step : -step;
  return span <= 0 ? 0 : saturate((span - 1) / stride + 1);
}

}  // namespace

Range::Range(int64_t start, int64_t stop, int64_t step)
    : Object(1), start_(start), stop_(stop), step_(step), size_(range_size(start, stop, step)) {}

std::optional<int64_t> Range::index_of(int64_t value) const {
  const Wide offset = static_cast<Wide>(value) - start_;
  if (offset % step_ != 0) return std::nullopt;
  const Wide index = offset / step_;
  if (index < 0 || index >= size_) return std::nullopt;
  return static_cast<int64_t>(index);
}

bool Range::same_elements(const Range& other) const {
  if (size_ != other.size_) return false;
  return size_ == 0 || (start_ == other.start_ && (size_ == 1 || step_ == other.step_));
}

Value Range::part(int64_t first, int64_t step, int64_t count) const {
  const Wide start = start_ + static_cast<Wide>(first) * step_;
  const Wide stride = count > 1 ? static_cast<Wide>(step) * step_ : Wide{step_};
  return Value(
      std::make_shared<Range>(saturate(start), saturate(start + count * stride), saturate(stride)));
}

std::string Range::print(int) const {
  return step_ == 1 ? fmt::format("range({}, {})", start_, stop_)
                    : fmt::format("range({}, {}, {})", start_, stop_, step_);
}

std::optional<Value> Range::item(Runtime&, const Value& key) {
  auto index = key.as_integer();
  if (!index || *index < -size_ || *index >= size_) return std::nullopt;
  return Value(at(*index < 0 ? *index + size_ : *index));
}

CursorRef Range::iterate(Runtime&) {
  const auto self = std::static_pointer_cast<Range>(shared_from_this());
  return make_cursor([self, i = int64_t{0}](Runtime&, Value& out) mutable {
    return i < self->size() && (out = Value(self->at(i++)), true);
  });
}

DictView::DictView(std::shared_ptr<const Dict> dict, DictPart part)
    : Object(dict->depth()), dict_(std::move(dict)), part_(part) {}

std::string DictView::type_name() const {
  switch (part_) {
    case DictPart::kKeys:
      return "dict_keys";
    case DictPart::kValues:
      return "dict_values";
    case DictPart::kItems:
      return "dict_items";
  }
  return "dict_view";
}

std::string DictView::print(int depth) const {
  return type_name() + "(" + print_repr(Value::list(elements()), depth) + ")";
}

std::optional<int64_t> DictView::length(Runtime&) {
  return static_cast<int64_t>(dict_->entries().size());
}

Value DictView::element(const Dict::Entry& entry) const {
  switch (part_) {
    case DictPart::kKeys:
      return entry.first;
    case DictPart::kValues:
      return entry.second;
    case DictPart::kItems:
      return Value::tuple({entry.first, entry.second});
  }
  return Value();
}

std::vector<Value> DictView::elements() const {
  std::vector<Value> items;
  for (const Dict::Entry& entry : dict_->entries()) items.push_back(element(entry));
  return items;
}

CursorRef DictView::iterate(Runtime&) {
  const auto view = std::make_shared<DictView>(dict_, part_);
  return make_cursor([view, i = size_t{0}](Runtime&, Value& out) mutable {
    const auto& entries = view->dict_->entries();
    return i < entries.size() && (out = view->element(entries[i++]), true);
  });
}

Generator::Generator(std::string type_name, int depth, Step step)
    : Object(depth), type_name_(std::move(type_name)), cursor_(make_cursor(std::move(step))) {}

Value generate(std::string type_name, std::span<const Value> sources, Generator::Step step) {
  return Value(
      std::make_shared<Generator>(std::move(type_name), nesting_of(sources), std::move(step)));
}

}  // namespace strake::jinja
