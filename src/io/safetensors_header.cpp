#include "io/safetensors_header.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "base/checked.h"
#include "base/fail.h"
#include "base/json.h"

namespace strake {
namespace {

struct StoredType {
  std::string_view name;
  int bits;
  std::optional<DType> dtype;
};

constexpr StoredType kStoredTypes[] = {
    {"F32", 32, DType::kF32},
    {"F16", 16, DType::kF16},
    {"BF16", 16, DType::kBF16},
    {"U8", 8, DType::kU8},
    {"I8", 8, DType::kI8},
    {"U16", 16, DType::kU16},
    {"I16", 16, DType::kI16},
    {"U32", 32, DType::kU32},
    {"I32", 32, DType::kI32},
    {"U64", 64, DType::kU64},
    {"I64", 64, DType::kI64},
    {"BOOL", 8, DType::kBool},
    {"F8_E4M3", 8, DType::kU8},
    {"F8_E8M0", 8, DType::kU8},
    {"F64", 64, {}},
    {"C64", 64, {}},
    {"F8_E5M2", 8, {}},
    {"F8_E4M3FNUZ", 8, {}},
    {"F8_E5M2FNUZ", 8, {}},
    {"F6_E2M3", 6, {}},
    {"F6_E3M2", 6, {}},
    {"F4", 4, {}},
};

// Far above what any file holds: sizes computed from one extent of an empty tensor cannot overflow.
constexpr int64_t kMaxExtent = int64_t{1} << 48;

std::string known_types() {
  std::string names;
  for (const StoredType& type : kStoredTypes)
    names += (names.empty() ? "" : ", ") + std::string(type.name);
  return names;
}

// What messages say of a JSON value: its text, cut short.
std::string shown(const Json& value) {
  constexpr size_t kLimit = 80;
  if (value.is_structured() && value.size() > 8)
    return fmt::format("{} of {} entries", value.is_array() ? "an array" : "an object",
                       value.size());
  std::string text = dump_json(value);
  if (text.size() <= kLimit) return text;
  return text.substr(0, kLimit).append("...");
}

// One tensor of one file, for messages.
struct Subject {
  std::string_view file;
  std::string_view tensor;

  template <class... Args>
  [[noreturn]] void refuse(fmt::format_string<Args...> format, Args&&... args) const {
    fail(ErrorKind::kCheckpoint, "{}: tensor '{}': {}", file, tensor,
         fmt::format(format, std::forward<Args>(args)...));
  }
};

const Json& field(const Subject& subject, const Json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end()) subject.refuse("field '{}' expected, found {}", name, shown(object));
  return *found;
}

std::optional<int64_t> natural(const Json& value) {
  if (!value.is_number_unsigned()) return std::nullopt;
  const auto number = value.get<uint64_t>();
  if (number > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return std::nullopt;
  return static_cast<int64_t>(number);
}

const StoredType& parse_type(const Subject& subject, const Json& value) {
  const auto* type = std::end(kStoredTypes);
  if (value.is_string())
    type = std::find_if(std::begin(kStoredTypes), std::end(kStoredTypes), [&](const StoredType& t) {
      return t.name == value.get_ref<const std::string&>();
    });
  if (type == std::end(kStoredTypes))
    subject.refuse("dtype: one of {} expected, found {}", known_types(), shown(value));
  return *type;
}

Shape parse_shape(const Subject& subject, const Json& value) {
  if (!value.is_array())
    subject.refuse("shape: an array of extents expected, found {}", shown(value));
  if (value.size() > Shape::kMaxRank)
    subject.refuse("shape: at most {} axes expected, found {}", Shape::kMaxRank, value.size());
  std::vector<int64_t> extents;
  for (const Json& item : value) {
    const auto extent = natural(item);
    if (!extent || *extent > kMaxExtent)
      subject.refuse("shape: extents from 0 to 2^48 expected, found {}", shown(item));
    extents.push_back(*extent);
  }
  if (!checked_product(extents))
    subject.refuse("shape: a product below 2^63 expected, found {}", shown(value));
  return Shape(extents);
}

TensorEntry parse_entry(const Subject& subject, const Json& value, int64_t data_bytes) {
  if (!value.is_object())
    subject.refuse("an object of dtype, shape and data_offsets expected, found {}", shown(value));
  const StoredType& type = parse_type(subject, field(subject, value, "dtype"));
  const Shape shape = parse_shape(subject, field(subject, value, "shape"));
  const Json& offsets = field(subject, value, "data_offsets");
  const bool two = offsets.is_array() && offsets.size() == 2;
  const auto begin = two ? natural(offsets[0]) : std::nullopt;
  const auto end = two ? natural(offsets[1]) : std::nullopt;
  if (!begin || !end || *end < *begin)
    subject.refuse("data_offsets: [begin, end] with 0 <= begin <= end expected, found {}",
                   shown(offsets));
  if (*end > data_bytes)
    subject.refuse("data_offsets: an end within the {} bytes of data expected, found {}",
                   data_bytes, *end);
  const auto bits = checked_mul<int64_t>(shape.elements(), type.bits);
  if (!bits || *bits % 8 != 0 || *bits / 8 != *end - *begin)
    subject.refuse("data_offsets: {} bytes for {} {} expected, found {}",
                   bits ? fmt::format("{}", *bits / 8) : "more than 2^60", type.name,
                   shape.to_string(), *end - *begin);
  return {type.dtype, std::string(type.name), shape, *begin, *end};
}

std::map<std::string, std::string> parse_metadata(const Json& value, std::string_view what) {
  std::map<std::string, std::string> metadata;
  if (value.is_null()) return metadata;  // what MLX writes when it was given none
  if (!value.is_object())
    fail(ErrorKind::kCheckpoint, "{}: __metadata__: an object of strings expected, found {}", what,
         shown(value));
  for (const auto& [key, text] : value.items()) {
    if (!text.is_string())
      fail(ErrorKind::kCheckpoint, "{}: __metadata__.{}: a string expected, found {}", what, key,
           shown(text));
    metadata.emplace(key, text.get<std::string>());
  }
  return metadata;
}

void check_cover(const std::map<std::string, TensorEntry>& tensors, int64_t data_bytes,
                 std::string_view what) {
  std::vector<std::pair<const std::string*, const TensorEntry*>> order;
  for (const auto& [name, entry] : tensors) order.emplace_back(&name, &entry);
  std::sort(order.begin(), order.end(), [](const auto& a, const auto& b) {
    return std::pair(a.second->begin, a.second->end) < std::pair(b.second->begin, b.second->end);
  });
  int64_t at = 0;
  const std::string* previous = nullptr;
  for (const auto& [name, entry] : order) {
    if (entry->begin < at)
      fail(ErrorKind::kCheckpoint,
           "{}: tensors '{}' and '{}' overlap: the first ends at byte {}, the other begins at {}",
           what, *previous, *name, at, entry->begin);
    if (entry->begin > at)
      fail(ErrorKind::kCheckpoint,
           "{}: tensor '{}' begins at byte {} of the data, but the bytes from {} belong to none",
           what, *name, entry->begin, at);
    at = entry->end;
    previous = name;
  }
  if (at != data_bytes)
    fail(ErrorKind::kCheckpoint, "{}: the tensors end at byte {} of the data, {} bytes follow",
         what, at, data_bytes - at);
}

}  // namespace

SafetensorsHeader parse_safetensors_header(std::string_view header, int64_t data_bytes,
                                           std::string_view what) {
  const Json json = parse_json(header, what);
  if (!json.is_object())
    fail(ErrorKind::kCheckpoint, "{}: header: a JSON object expected, found {}", what, shown(json));
  SafetensorsHeader parsed;
  for (const auto& [name, value] : json.items()) {
    if (name == "__metadata__")
      parsed.metadata = parse_metadata(value, what);
    else
      parsed.tensors.emplace(name, parse_entry({what, name}, value, data_bytes));
  }
  check_cover(parsed.tensors, data_bytes, what);
  const auto start = static_cast<int64_t>(sizeof(uint64_t) + header.size());
  for (auto& [name, entry] : parsed.tensors) {
    entry.begin += start;
    entry.end += start;
  }
  return parsed;
}

}  // namespace strake
