// Writing safetensors, tensor by tensor.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/files.h"
#include "strake/tensor/tensor.h"

namespace strake {

// What a tensor will be, before its elements are known.
struct TensorSpec {
  std::string name;
  DType dtype;
  Shape shape;

  int64_t nbytes() const;
};

using Metadata = std::map<std::string, std::string>;

// One file. The header comes first in it, so all tensors are announced to the constructor and then
// written in that order; nothing of a tensor is kept.
class SafetensorsWriter {
 public:
  // Throws Error(kSystem) when the file exists or cannot be made, Error(kInternal) when two
  // tensors have one name.
  SafetensorsWriter(const std::filesystem::path& path, std::vector<TensorSpec> tensors,
                    const Metadata& metadata);

  // Throws Error(kInternal) when it is not the next tensor or not what was announced.
  void write(const std::string& name, const Tensor& tensor);
  // Flushes to the device. Throws Error(kInternal) when tensors are missing.
  void finish();

 private:
  std::vector<TensorSpec> tensors_;
  size_t next_ = 0;
  FileWriter file_;
};

// The weights of a checkpoint directory: model.safetensors, or model-00001-of-0000N.safetensors
// when they exceed a file's limit, and model.safetensors.index.json that says which holds what.
class SafetensorsShardWriter {
 public:
  static constexpr int64_t kShardBytes = int64_t{5} << 30;

  // A tensor is never cut: one above `shard_bytes` has a file of its own.
  SafetensorsShardWriter(const std::filesystem::path& directory, std::vector<TensorSpec> tensors,
                         Metadata metadata, int64_t shard_bytes = kShardBytes);

  void write(const std::string& name, const Tensor& tensor);
  // Flushes and writes the index; `parameters` is its total_parameters.
  void finish(int64_t parameters);

 private:
  void open_shard();

  struct Shard {
    std::string file;
    std::vector<TensorSpec> tensors;
  };

  std::filesystem::path directory_;
  Metadata metadata_;
  std::vector<Shard> shards_;
  size_t current_ = 0;
  size_t written_ = 0;  // tensors of the current shard
  std::unique_ptr<SafetensorsWriter> writer_;
};

}  // namespace strake
