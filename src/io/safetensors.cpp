#include "io/safetensors.h"

#include <bit>
#include <cstring>

#include "base/fail.h"

namespace strake {
namespace fs = std::filesystem;

static_assert(std::endian::native == std::endian::little, "files are little-endian");

SafetensorsFile::SafetensorsFile(FileReader reader, SafetensorsHeader header)
    : reader_(std::move(reader)),
      header_(std::move(header)),
      bytes_read_(std::make_unique<std::atomic<int64_t>>(0)) {}

SafetensorsFile SafetensorsFile::open(const fs::path& path) {
  FileReader reader(path);
  const std::string what = path.string();
  uint64_t length = 0;
  constexpr auto kPrefix = static_cast<int64_t>(sizeof(length));
  if (reader.size() < kPrefix)
    fail(ErrorKind::kCheckpoint, "{}: {} bytes, a header length of {} was expected first", what,
         reader.size(), kPrefix);
  reader.read(0, std::as_writable_bytes(std::span(&length, 1)));
  if (length == 0 || length >= static_cast<uint64_t>(kSafetensorsHeaderLimit))
    fail(ErrorKind::kCheckpoint, "{}: a header length from 1 to {} expected, found {}", what,
         kSafetensorsHeaderLimit - 1, length);
  const int64_t data = kPrefix + static_cast<int64_t>(length);
  if (data > reader.size())
    fail(ErrorKind::kCheckpoint, "{}: the header ends at byte {}, the file at byte {}", what, data,
         reader.size());
  std::string text(length, '\0');
  reader.read(kPrefix, std::as_writable_bytes(std::span(text)));
  SafetensorsHeader header = parse_safetensors_header(text, reader.size() - data, what);
  return {std::move(reader), std::move(header)};
}

const TensorEntry& SafetensorsFile::entry(const std::string& name) const {
  const auto found = header_.tensors.find(name);
  if (found == header_.tensors.end())
    fail(ErrorKind::kCheckpoint, "{}: no tensor '{}'", path().string(), name);
  if (!found->second.dtype)
    fail(ErrorKind::kUnsupported, "{}: tensor '{}': dtype {} cannot be read", path().string(), name,
         found->second.stored_dtype);
  return found->second;
}

Tensor SafetensorsFile::read(const std::string& name, const ByteRuns& runs, const Shape& shape,
                             const FileReader& reader) const {
  Tensor tensor = Tensor::empty(*entry(name).dtype, shape);
  const auto bytes = tensor.mutable_bytes();
  const auto run = static_cast<size_t>(runs.bytes);
  for (int64_t i = 0; i < runs.count; ++i) {
    reader.read(runs.offset + i * runs.stride, bytes.subspan(static_cast<size_t>(i) * run, run));
    *bytes_read_ += runs.bytes;
  }
  return tensor;
}

Tensor SafetensorsFile::read(const std::string& name) const {
  return read(name, runs(name), entry(name).shape);
}

Tensor SafetensorsFile::read(const std::string& name, int axis, int64_t begin, int64_t end) const {
  const ByteRuns runs = this->runs(name, axis, begin, end);
  return read(name, runs, entry(name).shape.with(axis, end - begin));
}

ByteRuns SafetensorsFile::runs(const std::string& name) const {
  const TensorEntry& entry = this->entry(name);
  return {entry.begin, entry.nbytes()};
}

ByteRuns SafetensorsFile::runs(const std::string& name, int axis, int64_t begin,
                               int64_t end) const {
  const TensorEntry& entry = this->entry(name);
  const int rank = entry.shape.rank();
  const int position = axis < 0 ? axis + rank : axis;
  if (position < 0 || position >= rank)
    fail(ErrorKind::kUsage, "{}: tensor '{}': axis {} of shape {}", path().string(), name, axis,
         entry.shape.to_string());
  const int64_t extent = entry.shape[position];
  if (begin < 0 || end < begin || end > extent)
    fail(ErrorKind::kUsage, "{}: tensor '{}': slice [{}, {}) of axis {} of shape {}",
         path().string(), name, begin, end, axis, entry.shape.to_string());
  if (end == begin || entry.nbytes() == 0) return {entry.begin, 0};
  int64_t outer = 1;
  for (int i = 0; i < position; ++i) outer *= entry.shape[i];
  const int64_t step = entry.nbytes() / outer / extent;  // bytes along the axis
  if (end - begin == extent) return {entry.begin, entry.nbytes()};
  return {entry.begin + begin * step, (end - begin) * step, extent * step, outer};
}

}  // namespace strake
