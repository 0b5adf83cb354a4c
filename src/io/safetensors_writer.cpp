#include "io/safetensors_writer.h"

#include <bit>
#include <set>

#include "base/fail.h"
#include "base/json.h"

namespace strake {
namespace fs = std::filesystem;
namespace {

static_assert(std::endian::native == std::endian::little, "files are little-endian");

// Text of the header, padded so that the data begins at a multiple of 8 bytes.
std::string header_text(const std::vector<TensorSpec>& tensors, const Metadata& metadata) {
  std::string text = "{";
  if (!metadata.empty()) text += fmt::format("\"__metadata__\":{}", dump_json(Json(metadata)));
  std::set<std::string> names = {"__metadata__"};
  int64_t offset = 0;
  for (const TensorSpec& tensor : tensors) {
    if (!names.insert(tensor.name).second)
      fail(ErrorKind::kInternal, "two tensors to write are named '{}'", tensor.name);
    const auto extents = tensor.shape.extents();
    text += fmt::format("{}{}:{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{},{}]}}",
                        text.size() > 1 ? "," : "", dump_json(Json(tensor.name)),
                        to_string(tensor.dtype), fmt::join(extents.begin(), extents.end(), ","),
                        offset, offset + tensor.nbytes());
    offset += tensor.nbytes();
  }
  text += "}";
  text.resize((text.size() + 7) / 8 * 8, ' ');
  return text;
}

}  // namespace

int64_t TensorSpec::nbytes() const { return shape.elements() * size_of(dtype); }

SafetensorsWriter::SafetensorsWriter(const fs::path& path, std::vector<TensorSpec> tensors,
                                     const Metadata& metadata)
    : tensors_(std::move(tensors)), file_(path) {
  const std::string header = header_text(tensors_, metadata);
  const uint64_t length = header.size();
  file_.write(std::as_bytes(std::span(&length, 1)));
  file_.write(header);
}

void SafetensorsWriter::write(const std::string& name, const Tensor& tensor) {
  if (next_ == tensors_.size())
    fail(ErrorKind::kInternal, "tensor '{}' was not announced to the writer", name);
  const TensorSpec& spec = tensors_[next_];
  if (spec.name != name || spec.dtype != tensor.dtype() || spec.shape != tensor.shape())
    fail(ErrorKind::kInternal, "writing '{}' {} {}, but '{}' {} {} is next", name,
         to_string(tensor.dtype()), tensor.shape().to_string(), spec.name, to_string(spec.dtype),
         spec.shape.to_string());
  file_.write(tensor.bytes());
  ++next_;
}

void SafetensorsWriter::finish() {
  if (next_ != tensors_.size())
    fail(ErrorKind::kInternal, "tensor '{}' was never written", tensors_[next_].name);
  file_.close();
}

SafetensorsShardWriter::SafetensorsShardWriter(const fs::path& directory,
                                               std::vector<TensorSpec> tensors, Metadata metadata,
                                               int64_t shard_bytes)
    : directory_(directory), metadata_(std::move(metadata)), shards_(1) {
  int64_t bytes = 0;
  for (TensorSpec& tensor : tensors) {
    if (bytes > 0 && bytes + tensor.nbytes() > shard_bytes) {
      shards_.emplace_back();
      bytes = 0;
    }
    bytes += tensor.nbytes();
    shards_.back().tensors.push_back(std::move(tensor));
  }
  for (size_t i = 0; i < shards_.size(); ++i)
    shards_[i].file = shards_.size() == 1
                          ? "model.safetensors"
                          : fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards_.size());
  open_shard();
}

void SafetensorsShardWriter::open_shard() {
  const Shard& shard = shards_[current_];
  writer_ = std::make_unique<SafetensorsWriter>(directory_ / shard.file, shard.tensors, metadata_);
  written_ = 0;
}

void SafetensorsShardWriter::write(const std::string& name, const Tensor& tensor) {
  if (written_ == shards_[current_].tensors.size() && current_ + 1 < shards_.size()) {
    writer_->finish();
    ++current_;
    open_shard();
  }
  writer_->write(name, tensor);
  ++written_;
}

void SafetensorsShardWriter::finish(int64_t parameters) {
  writer_->finish();
  if (current_ + 1 != shards_.size())
    fail(ErrorKind::kInternal, "tensor '{}' was never written",
         shards_[current_ + 1].tensors.front().name);
  int64_t total = 0;
  std::map<std::string, std::string> file_of;
  for (const Shard& shard : shards_)
    for (const TensorSpec& tensor : shard.tensors) {
      file_of.emplace(tensor.name, shard.file);
      total += tensor.nbytes();
    }
  const Json index = {{"metadata", {{"total_size", total}, {"total_parameters", parameters}}},
                      {"weight_map", file_of}};
  write_text_file(directory_ / "model.safetensors.index.json", dump_json(index, 4));
}

}  // namespace strake
