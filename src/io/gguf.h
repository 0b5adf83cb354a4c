// Reading GGUF: metadata, and tensors as the blocks that the file stores.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/files.h"
#include "io/gguf_type.h"
#include "strake/tensor/tensor.h"

namespace strake {

// A metadata value; integers of every width are int64_t. Arrays of truth values hold 0 and 1.
using GgufValue = std::variant<bool, int64_t, float, double, std::string, std::vector<int64_t>,
                               std::vector<double>, std::vector<std::string>>;

// The key-value pairs of a file. Getters give nothing where the key is absent and throw
// Error(kCheckpoint) that names the key when the value is of another type.
class GgufMetadata {
 public:
  explicit GgufMetadata(std::string what) : what_(std::move(what)) {}

  std::optional<bool> flag(const std::string& key) const;
  std::optional<int64_t> integer(const std::string& key) const;
  // A float32 becomes the double with the same shortest decimal text: 1e-05 stays that.
  std::optional<double> number(const std::string& key) const;
  std::optional<std::string> text(const std::string& key) const;
  // The array itself, or null.
  const std::vector<int64_t>* integers(const std::string& key) const;
  const std::vector<double>* numbers(const std::string& key) const;
  const std::vector<std::string>* texts(const std::string& key) const;
  bool has(const std::string& key) const { return values_.contains(key); }

  const std::string& what() const { return what_; }  // the file, for messages
  // Throws Error(kCheckpoint) when the key is there already.
  void add(std::string key, GgufValue value);

 private:
  template <class T>
  const T* find(const std::string& key, std::string_view expected) const;

  std::string what_;
  std::map<std::string, GgufValue> values_;
};

struct GgufTensor {
  GgufType type;
  Shape shape;    // outermost first: [out, in]
  int64_t begin;  // bytes [begin, end) of the file
  int64_t end;
};

struct GgufHeader {
  GgufMetadata metadata;
  std::map<std::string, GgufTensor> tensors;
};

// Where a header comes from: `read` fills its argument with the bytes from an offset, which lie
// within `bytes`.
struct GgufSource {
  int64_t bytes;
  std::function<void(int64_t offset, std::span<std::byte> out)> read;
  std::string what;  // the file, for messages
};

// Versions 2 and 3, little-endian. Every count and length is held against the bytes that are left
// before memory is taken for it. Throws Error(kCheckpoint) on damage, Error(kUnsupported) on other
// versions, big-endian files, unknown element types and arrays of arrays.
GgufHeader parse_gguf_header(const GgufSource& source);

class GgufFile {
 public:
  static GgufFile open(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return reader_.path(); }
  const GgufMetadata& metadata() const { return header_.metadata; }
  const std::map<std::string, GgufTensor>& tensors() const { return header_.tensors; }
  // The tensor's blocks, kU8 [bytes]. Throws Error(kCheckpoint) when there is none of that name.
  Tensor read_blocks(const std::string& name) const;

 private:
  GgufFile(FileReader reader, GgufHeader header)
      : reader_(std::move(reader)), header_(std::move(header)) {}

  FileReader reader_;
  GgufHeader header_;
};

}  // namespace strake
