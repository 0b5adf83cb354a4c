#include "io/gguf.h"

#include <algorithm>
#include <cstdlib>

#include "base/fail.h"

namespace strake {

template <class T>
const T* GgufMetadata::find(const std::string& key, std::string_view expected) const {
  const auto found = values_.find(key);
  if (found == values_.end()) return nullptr;
  const T* value = std::get_if<T>(&found->second);
  if (value == nullptr)
    fail(ErrorKind::kCheckpoint, "{}: metadata '{}': {} expected, found another type", what_, key,
         expected);
  return value;
}

std::optional<bool> GgufMetadata::flag(const std::string& key) const {
  const bool* value = find<bool>(key, "true or false");
  return value ? std::optional(*value) : std::nullopt;
}

std::optional<int64_t> GgufMetadata::integer(const std::string& key) const {
  const int64_t* value = find<int64_t>(key, "an integer");
  return value ? std::optional(*value) : std::nullopt;
}

std::optional<double> GgufMetadata::number(const std::string& key) const {
  const auto found = values_.find(key);
  if (found == values_.end()) return std::nullopt;
  if (const float* value = std::get_if<float>(&found->second))
    return std::strtod(fmt::format("{}", *value).c_str(), nullptr);
  return *find<double>(key, "a floating number");
}

std::optional<std::string> GgufMetadata::text(const std::string& key) const {
  const std::string* value = find<std::string>(key, "text");
  return value ? std::optional(*value) : std::nullopt;
}

const std::vector<int64_t>* GgufMetadata::integers(const std::string& key) const {
  return find<std::vector<int64_t>>(key, "an array of integers");
}

const std::vector<double>* GgufMetadata::numbers(const std::string& key) const {
  return find<std::vector<double>>(key, "an array of numbers");
}

const std::vector<std::string>* GgufMetadata::texts(const std::string& key) const {
  return find<std::vector<std::string>>(key, "an array of texts");
}

void GgufMetadata::add(std::string key, GgufValue value) {
  const auto [place, added] = values_.emplace(std::move(key), std::move(value));
  if (!added) fail(ErrorKind::kCheckpoint, "{}: metadata '{}' stands twice", what_, place->first);
}

GgufFile GgufFile::open(const std::filesystem::path& path) {
  FileReader reader(path);
  GgufHeader header = parse_gguf_header(
      {reader.size(), [&](int64_t offset, std::span<std::byte> out) { reader.read(offset, out); },
       path.string()});
  return {std::move(reader), std::move(header)};
}

Tensor GgufFile::read_blocks(const std::string& name) const {
  const auto found = header_.tensors.find(name);
  if (found == header_.tensors.end())
    fail(ErrorKind::kCheckpoint, "{}: no tensor '{}'", path().string(), name);
  Tensor blocks = Tensor::empty(DType::kU8, {found->second.end - found->second.begin});
  reader_.read(found->second.begin, blocks.mutable_bytes());
  return blocks;
}

}  // namespace strake
