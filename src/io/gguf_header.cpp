#include <algorithm>
#include <bit>
#include <cstring>

#include "base/checked.h"
#include "base/fail.h"
#include "io/gguf.h"

namespace strake {
namespace {

static_assert(std::endian::native == std::endian::little, "files are little-endian");

enum class ValueType : uint32_t {
  kU8,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kF32,
  kBool,
  kString,
  kArray,
  kU64,
  kI64,
  kF64,
};

constexpr int kMaxAxes = 4;
constexpr int64_t kDefaultAlignment = 32;
constexpr int64_t kMaxAlignment = int64_t{1} << 20;

// Reads the header front to back through a buffer.
class Cursor {
 public:
  explicit Cursor(const GgufSource& source) : source_(source) {}

  int64_t position() const { return position_; }
  int64_t left() const { return source_.bytes - position_; }

  template <class... Args>
  [[noreturn]] void refuse(ErrorKind kind, fmt::format_string<Args...> format,
                           Args&&... args) const {
    fail(kind, "{}: {}", source_.what, fmt::format(format, std::forward<Args>(args)...));
  }

  void read(std::span<std::byte> out, std::string_view field) {
    if (static_cast<int64_t>(out.size()) > left())
      refuse(ErrorKind::kCheckpoint, "{}: {} bytes expected at byte {}, {} are left", field,
             out.size(), position_, left());
    while (!out.empty()) {
      if (at_ == buffer_.size()) fill();
      const size_t part = std::min(out.size(), buffer_.size() - at_);
      std::memcpy(out.data(), buffer_.data() + at_, part);
      at_ += part;
      position_ += static_cast<int64_t>(part);
      out = out.subspan(part);
    }
  }

  template <class T>
  T scalar(std::string_view field) {
    T value;
    read(std::as_writable_bytes(std::span(&value, 1)), field);
    return value;
  }

  // A number of items that take at least `least` bytes each.
  int64_t count(int64_t least, std::string_view field) {
    const auto value = scalar<uint64_t>(field);
    if (value > static_cast<uint64_t>(left() / least))
      refuse(ErrorKind::kCheckpoint, "{}: at most {} fit into the {} bytes left, found {}", field,
             left() / least, left(), value);
    return static_cast<int64_t>(value);
  }

  std::string text(std::string_view field) {
    std::string value(static_cast<size_t>(count(1, field)), '\0');
    read(std::as_writable_bytes(std::span(value)), field);
    return value;
  }

 private:
  void fill() {
    constexpr int64_t kBuffer = 1 << 16;
    buffer_.resize(static_cast<size_t>(std::min(kBuffer, left())));
    source_.read(position_, buffer_);
    at_ = 0;
  }

  const GgufSource& source_;
  std::vector<std::byte> buffer_;
  size_t at_ = 0;  // position in the buffer
  int64_t position_ = 0;
};

bool read_bool(Cursor& cursor, std::string_view field) {
  const auto byte = cursor.scalar<uint8_t>(field);
  if (byte > 1)
    cursor.refuse(ErrorKind::kCheckpoint, "{}: 0 or 1 expected for a truth value, found {}", field,
                  byte);
  return byte == 1;
}

int64_t read_u64(Cursor& cursor, std::string_view field) {
  const auto value = cursor.scalar<uint64_t>(field);
  if (value >> 63 != 0)
    cursor.refuse(ErrorKind::kUnsupported, "{}: numbers below 2^63 expected, found {}", field,
                  value);
  return static_cast<int64_t>(value);
}

template <class Item, class Read>
GgufValue read_items(int64_t count, Read&& read) {
  std::vector<Item> items;
  items.reserve(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) items.push_back(static_cast<Item>(read()));
  return items;
}

GgufValue read_array(Cursor& cursor, std::string_view field);

// Calls visit(read) with a function that reads one value of the type.
template <class Visit>
GgufValue visit_type(Cursor& cursor, uint32_t type, std::string_view field, Visit&& visit) {
  const auto integer = [&]<class T>(T) {
    return visit([&] { return static_cast<int64_t>(cursor.scalar<T>(field)); }, sizeof(T));
  };
  switch (static_cast<ValueType>(type)) {
    case ValueType::kU8:
      return integer(uint8_t());
    case ValueType::kI8:
      return integer(int8_t());
    case ValueType::kU16:
      return integer(uint16_t());
    case ValueType::kI16:
      return integer(int16_t());
    case ValueType::kU32:
      return integer(uint32_t());
    case ValueType::kI32:
      return integer(int32_t());
    case ValueType::kI64:
      return integer(int64_t());
    case ValueType::kU64:
      return visit([&] { return read_u64(cursor, field); }, 8);
    case ValueType::kF32:
      return visit([&] { return cursor.scalar<float>(field); }, 4);
    case ValueType::kF64:
      return visit([&] { return cursor.scalar<double>(field); }, 8);
    case ValueType::kBool:
      return visit([&] { return read_bool(cursor, field); }, 1);
    case ValueType::kString:
      return visit([&] { return cursor.text(field); }, 8);
    case ValueType::kArray:
      return read_array(cursor, field);
  }
  cursor.refuse(ErrorKind::kCheckpoint, "{}: a value type from 0 to 12 expected, found {}", field,
                type);
}

GgufValue read_array(Cursor& cursor, std::string_view field) {
  const auto type = cursor.scalar<uint32_t>(field);
  if (static_cast<ValueType>(type) == ValueType::kArray)
    cursor.refuse(ErrorKind::kUnsupported, "{}: arrays of arrays cannot be read", field);
  return visit_type(cursor, type, field, [&](auto read, size_t least) {
    using Item = decltype(read());
    const int64_t count = cursor.count(static_cast<int64_t>(least), field);
    if constexpr (std::is_same_v<Item, std::string>)
      return read_items<std::string>(count, read);
    else if constexpr (std::is_floating_point_v<Item>)
      return read_items<double>(count, read);
    else
      return read_items<int64_t>(count, read);
  });
}

void read_pair(Cursor& cursor, GgufMetadata& metadata) {
  std::string key = cursor.text("metadata key");
  const std::string field = "metadata '" + key + "'";
  const auto type = cursor.scalar<uint32_t>(field);
  GgufValue value =
      visit_type(cursor, type, field, [](auto read, size_t) { return GgufValue(read()); });
  metadata.add(std::move(key), std::move(value));
}

// A tensor whose bytes count from the start of the data.
std::pair<std::string, GgufTensor> read_tensor(Cursor& cursor) {
  std::string name = cursor.text("tensor name");
  const std::string field = "tensor '" + name + "'";
  const auto axes = cursor.scalar<uint32_t>(field);
  if (axes > kMaxAxes)
    cursor.refuse(ErrorKind::kCheckpoint, "{}: at most {} axes expected, found {}", field, kMaxAxes,
                  axes);
  std::vector<int64_t> extents(axes);
  for (int64_t& extent : extents) {
    extent = read_u64(cursor, field);
    if (extent == 0)
      cursor.refuse(ErrorKind::kCheckpoint, "{}: extents of at least 1 expected, found 0", field);
  }
  const auto number = cursor.scalar<uint32_t>(field);
  const GgufTypeTraits* type = find_gguf_type(number);
  if (type == nullptr)
    cursor.refuse(ErrorKind::kUnsupported, "{}: element type {} is not known", field, number);
  const int64_t row = extents.empty() ? 1 : extents.front();
  if (row % type->block != 0)
    cursor.refuse(ErrorKind::kCheckpoint, "{}: rows of whole {} blocks of {} expected, found {}",
                  field, type->name, type->block, row);
  std::reverse(extents.begin(), extents.end());
  const auto elements = checked_product(extents);
  const auto bytes =
      elements ? checked_mul<int64_t>(*elements / type->block, type->bytes) : std::nullopt;
  const int64_t begin = read_u64(cursor, field);
  const auto end = bytes ? checked_add(begin, *bytes) : std::nullopt;
  if (!end) cursor.refuse(ErrorKind::kCheckpoint, "{}: its size exceeds 2^63 bytes", field);
  return {std::move(name), {type->type, Shape(extents), begin, *end}};
}

int64_t read_alignment(const Cursor& cursor, const GgufMetadata& metadata) {
  const int64_t alignment = metadata.integer("general.alignment").value_or(kDefaultAlignment);
  if (alignment < 1 || alignment > kMaxAlignment || !std::has_single_bit(uint64_t(alignment)))
    cursor.refuse(ErrorKind::kCheckpoint,
                  "metadata 'general.alignment': a power of two up to {} expected, found {}",
                  kMaxAlignment, alignment);
  return alignment;
}

// Makes the tensors' bytes count from the start of the file, and checks that each lies within it
// and apart from the others.
void place(const Cursor& cursor, GgufHeader& header) {
  const int64_t alignment = read_alignment(cursor, header.metadata);
  const int64_t start = (cursor.position() + alignment - 1) / alignment * alignment;
  const int64_t data = std::max<int64_t>(0, cursor.position() + cursor.left() - start);
  std::vector<std::pair<const std::string*, GgufTensor*>> order;
  for (auto& [name, tensor] : header.tensors) {
    if (tensor.begin % alignment != 0)
      cursor.refuse(ErrorKind::kCheckpoint,
                    "tensor '{}': an offset of whole {} bytes expected, found {}", name, alignment,
                    tensor.begin);
    if (tensor.end > data)
      cursor.refuse(ErrorKind::kCheckpoint,
                    "tensor '{}': ends at byte {} of the data, which has {} bytes", name,
                    tensor.end, data);
    tensor.begin += start;
    tensor.end += start;
    order.emplace_back(&name, &tensor);
  }
  std::sort(order.begin(), order.end(), [](const auto& a, const auto& b) {
    return std::pair(a.second->begin, a.second->end) < std::pair(b.second->begin, b.second->end);
  });
  for (size_t i = 1; i < order.size(); ++i)
    if (order[i].second->begin < order[i - 1].second->end)
      cursor.refuse(ErrorKind::kCheckpoint, "tensors '{}' and '{}' overlap", *order[i - 1].first,
                    *order[i].first);
}

}  // namespace

GgufHeader parse_gguf_header(const GgufSource& source) {
  Cursor cursor(source);
  char magic[4];
  cursor.read(std::as_writable_bytes(std::span(magic)), "magic");
  if (std::string_view(magic, 4) != "GGUF")
    cursor.refuse(ErrorKind::kCheckpoint, "not a GGUF file: it does not begin with 'GGUF'");
  const auto version = cursor.scalar<uint32_t>("version");
  if (version != 0 && (version & 0xffff) == 0)
    cursor.refuse(ErrorKind::kUnsupported, "a big-endian file; only little-endian ones are read");
  if (version != 2 && version != 3)
    cursor.refuse(ErrorKind::kUnsupported, "version 2 or 3 expected, found {}", version);
  constexpr int64_t kLeastTensor = 8 + 4 + 4 + 8;
  constexpr int64_t kLeastPair = 8 + 4 + 1;
  const int64_t tensors = cursor.count(kLeastTensor, "tensor count");
  const int64_t pairs = cursor.count(kLeastPair, "metadata count");
  GgufHeader header{GgufMetadata(source.what), {}};
  for (int64_t i = 0; i < pairs; ++i) read_pair(cursor, header.metadata);
  for (int64_t i = 0; i < tensors; ++i) {
    auto [place, added] = header.tensors.insert(read_tensor(cursor));
    if (!added) cursor.refuse(ErrorKind::kCheckpoint, "tensor '{}' stands twice", place->first);
  }
  place(cursor, header);
  return header;
}

}  // namespace strake
