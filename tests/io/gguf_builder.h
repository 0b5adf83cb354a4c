// The bytes of GGUF files, sound and damaged ones.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "io/gguf_type.h"

namespace strake {

template <class T>
std::string bytes_of(T value) {
  std::string bytes(sizeof(T), '\0');
  std::memcpy(bytes.data(), &value, sizeof(T));
  return bytes;
}

inline std::string gguf_text(const std::string& text) {
  return bytes_of(uint64_t{text.size()}) + text;
}

class GgufBuilder {
 public:
  // A pair whose value is these bytes.
  GgufBuilder& pair(const std::string& key, uint32_t type, const std::string& value) {
    pairs_ += gguf_text(key) + bytes_of(type) + value;
    ++pair_count_;
    return *this;
  }
  GgufBuilder& number(const std::string& key, uint32_t value) {
    return pair(key, 4, bytes_of(value));
  }
  GgufBuilder& real(const std::string& key, float value) { return pair(key, 6, bytes_of(value)); }
  GgufBuilder& flag(const std::string& key, bool value) {
    return pair(key, 7, bytes_of(static_cast<uint8_t>(value)));
  }
  GgufBuilder& text(const std::string& key, const std::string& value) {
    return pair(key, 8, gguf_text(value));
  }
  GgufBuilder& texts(const std::string& key, const std::vector<std::string>& values) {
    std::string bytes = bytes_of(uint32_t{8}) + bytes_of(uint64_t{values.size()});
    for (const std::string& value : values) bytes += gguf_text(value);
    return pair(key, 9, bytes);
  }
  GgufBuilder& integers(const std::string& key, const std::vector<int32_t>& values) {
    std::string bytes = bytes_of(uint32_t{5}) + bytes_of(uint64_t{values.size()});
    for (const int32_t value : values) bytes += bytes_of(value);
    return pair(key, 9, bytes);
  }

  // A tensor's description alone; extents innermost first, as in files.
  GgufBuilder& info(const std::string& name, const std::vector<uint64_t>& extents, uint32_t type,
                    uint64_t offset) {
    infos_ += gguf_text(name) + bytes_of(static_cast<uint32_t>(extents.size()));
    for (const uint64_t extent : extents) infos_ += bytes_of(extent);
    infos_ += bytes_of(type) + bytes_of(offset);
    ++info_count_;
    return *this;
  }
  // A tensor and its bytes.
  GgufBuilder& tensor(const std::string& name, const std::vector<uint64_t>& extents, GgufType type,
                      const std::string& bytes) {
    info(name, extents, static_cast<uint32_t>(type), data_.size());
    data_ += bytes;
    data_.resize((data_.size() + 31) / 32 * 32, '\0');
    return *this;
  }
  // A tensor of zeros.
  GgufBuilder& zeros(const std::string& name, const std::vector<uint64_t>& extents, GgufType type) {
    uint64_t elements = 1;
    for (const uint64_t extent : extents) elements *= extent;
    const GgufTypeTraits& t = traits(type);
    return tensor(
        name, extents, type,
        std::string(elements / static_cast<uint64_t>(t.block) * static_cast<uint64_t>(t.bytes),
                    '\0'));
  }

  GgufBuilder& version(uint32_t value) {
    version_ = value;
    return *this;
  }
  GgufBuilder& counts(uint64_t tensors, uint64_t pairs) {
    info_count_ = tensors;
    pair_count_ = pairs;
    return *this;
  }

  std::string header() const {
    return "GGUF" + bytes_of(version_) + bytes_of(info_count_) + bytes_of(pair_count_) + pairs_ +
           infos_;
  }
  std::string build() const {
    std::string bytes = header();
    bytes.resize((bytes.size() + 31) / 32 * 32, '\0');
    return bytes + data_;
  }

 private:
  std::string pairs_, infos_, data_;
  uint32_t version_ = 3;
  uint64_t pair_count_ = 0, info_count_ = 0;
};

}  // namespace strake
