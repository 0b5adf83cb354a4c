// Tiny checkpoints, written tensor by tensor.
#pragma once

#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "io/checkpoint.h"
#include "io/safetensors_writer.h"
#include "support/temporary_directory.h"

namespace strake {

class CheckpointBuilder {
 public:
  Json config = Json::object();

  void add(const std::string& name, const Tensor& tensor) {
    tensors_.insert_or_assign(name, tensor);
  }
  void remove(const std::string& name) { tensors_.erase(name); }
  // `<module>.weight`, with its scales and biases where it has them.
  void add_weight(const std::string& module, const Weight& weight) {
    if (weight.dense() != nullptr) return add(module + ".weight", *weight.dense());
    const QuantizedMatrix& matrix = *weight.quantized();
    add(module + ".weight", matrix.codes());
    add(module + ".scales", matrix.scales());
    if (matrix.biases()) add(module + ".biases", *matrix.biases());
  }
  const Tensor& tensor(const std::string& name) const { return tensors_.at(name); }

  // Writes what there is now, and opens it.
  Checkpoint open(Device device = Device::cpu()) const {
    const auto file = directory_->path() / "model.safetensors";
    std::filesystem::remove(file);
    std::vector<TensorSpec> specs;
    for (const auto& [name, tensor] : tensors_)
      specs.push_back({name, tensor.dtype(), tensor.shape()});
    SafetensorsWriter writer(file, specs, {});
    for (const auto& [name, tensor] : tensors_) writer.write(name, tensor);
    writer.finish();
    return reopen(device);
  }
  // Where the last one was written.
  const std::filesystem::path& path() const { return directory_->path(); }
  // With the tensors as last written, and the config as it is now.
  Checkpoint reopen(Device device = Device::cpu()) const {
    std::ofstream(directory_->path() / "config.json") << dump_json(config);
    return Checkpoint::open(directory_->path(), device);
  }

 private:
  std::unique_ptr<TemporaryDirectory> directory_ = std::make_unique<TemporaryDirectory>();
  std::map<std::string, Tensor> tensors_;
};

}  // namespace strake
