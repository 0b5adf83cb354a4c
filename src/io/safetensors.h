// Reading safetensors: one file, or the files of a checkpoint directory.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/files.h"
#include "io/safetensors_header.h"
#include "strake/tensor/tensor.h"

namespace strake {

// Runs of bytes of equal length and distance, as a slice of a tensor has them in its file.
struct ByteRuns {
  int64_t offset;  // of the first
  int64_t bytes;   // of each
  int64_t stride = 0;
  int64_t count = 1;

  int64_t total() const { return bytes * count; }
  friend bool operator==(const ByteRuns&, const ByteRuns&) = default;
};

// A file whose header has been read and found sound. Tensors are read when asked for, and only
// the bytes asked for. Reading is safe from several threads.
class SafetensorsFile {
 public:
  // Throws Error(kSystem) when it cannot be opened, Error(kCheckpoint) when the header is damaged.
  static SafetensorsFile open(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return reader_.path(); }
  const std::map<std::string, TensorEntry>& tensors() const { return header_.tensors; }
  const std::map<std::string, std::string>& metadata() const { return header_.metadata; }

  // The whole tensor. Throws Error(kCheckpoint) when there is none of that name,
  // Error(kUnsupported) when its element type has no DType.
  Tensor read(const std::string& name) const;
  // Elements [begin, end) of an axis, which may count from the end as -1. Throws Error(kUsage)
  // beyond the shape.
  Tensor read(const std::string& name, int axis, int64_t begin, int64_t end) const;
  // Where that stands in the file. Throws as read() does.
  ByteRuns runs(const std::string& name) const;
  ByteRuns runs(const std::string& name, int axis, int64_t begin, int64_t end) const;
  // The bytes of some of a tensor's runs; by a reader of this file that has another pattern.
  Tensor read(const std::string& name, const ByteRuns& runs, const Shape& shape) const {
    return read(name, runs, shape, reader_);
  }
  Tensor read(const std::string& name, const ByteRuns& runs, const Shape& shape,
              const FileReader& reader) const;
  int64_t size() const { return reader_.size(); }
  // Tells the kernel that these bytes will be read soon.
  void will_read(int64_t offset, int64_t bytes) const { reader_.will_read(offset, bytes); }
  // Bytes of tensors read so far.
  int64_t bytes_read() const { return *bytes_read_; }

 private:
  SafetensorsFile(FileReader reader, SafetensorsHeader header);
  const TensorEntry& entry(const std::string& name) const;
  FileReader reader_;
  SafetensorsHeader header_;
  std::unique_ptr<std::atomic<int64_t>> bytes_read_;
};

// The weights of a checkpoint directory as one set of tensors. model.safetensors.index.json names
// the files where there is one; otherwise they are all model*.safetensors.
class SafetensorsDirectory {
 public:
  // Throws as SafetensorsFile::open(); Error(kCheckpoint) also when there are no weights, when two
  // files hold one tensor, and when index and files disagree.
  static SafetensorsDirectory open(const std::filesystem::path& directory);

  const std::filesystem::path& path() const { return path_; }
  const std::vector<SafetensorsFile>& files() const { return files_; }
  const std::map<std::string, TensorEntry>& tensors() const { return tensors_; }
  // The file that holds a tensor. Throws Error(kCheckpoint) when there is none of that name.
  const SafetensorsFile& file_of(const std::string& name) const;

  Tensor read(const std::string& name) const { return file_of(name).read(name); }
  Tensor read(const std::string& name, int axis, int64_t begin, int64_t end) const {
    return file_of(name).read(name, axis, begin, end);
  }
  int64_t bytes_read() const;

 private:
  explicit SafetensorsDirectory(const std::filesystem::path& path) : path_(path) {}
  void add(const std::filesystem::path& file);
  void add_indexed(const std::filesystem::path& index);

  std::filesystem::path path_;
  std::vector<SafetensorsFile> files_;
  std::map<std::string, TensorEntry> tensors_;
  std::map<std::string, size_t> file_of_;  // position in files_
};

}  // namespace strake
