// Any bytes as a GGUF file: its header, every tensor's values, its tokenizer and config. Either an
// Error, or tensors that lie within the file.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "io/gguf.h"
#include "io/gguf_decode.h"
#include "io/gguf_quantized.h"
#include "io/gguf_tokenizer.h"
#include "strake/base/error.h"

namespace {

void read_tensor(std::span<const std::byte> file, const std::string& name,
                 const strake::GgufTensor& tensor) {
  const auto bytes = file.subspan(static_cast<size_t>(tensor.begin),
                                  static_cast<size_t>(tensor.end - tensor.begin));
  std::vector<float> values(static_cast<size_t>(tensor.shape.elements()));
  strake::decode_gguf(name, tensor.type, bytes, values);
  if (!strake::exact_format(tensor.type)) return;
  auto blocks = strake::Tensor::empty(strake::DType::kU8, {static_cast<int64_t>(bytes.size())});
  if (!bytes.empty()) std::memcpy(blocks.mutable_bytes().data(), bytes.data(), bytes.size());
  strake::quantized_from_gguf(name, tensor.type, blocks, tensor.shape);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto file = std::as_bytes(std::span(data, size));
  const auto read = [&](int64_t offset, std::span<std::byte> out) {
    if (offset < 0 || static_cast<size_t>(offset) + out.size() > size) std::abort();
    std::memcpy(out.data(), file.data() + offset, out.size());
  };
  try {
    const auto header = strake::parse_gguf_header({static_cast<int64_t>(size), read, "f"});
    for (const auto& [name, tensor] : header.tensors) {
      if (tensor.begin < 0 || tensor.end < tensor.begin || tensor.end > static_cast<int64_t>(size))
        std::abort();
      try {
        read_tensor(file, name, tensor);
      } catch (const strake::Error&) {
      }
    }
    strake::tokenizer_from_gguf(header.metadata);
  } catch (const strake::Error&) {
  }
  return 0;
}
