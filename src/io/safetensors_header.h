// The header of a safetensors file: which tensor lies where.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "strake/tensor/dtype.h"
#include "strake/tensor/shape.h"

namespace strake {

// A tensor's place in a file.
struct TensorEntry {
  // What reading gives; nothing for element types that have no DType here (F64, C64, F8_E5M2, ..).
  // F8_E4M3 and F8_E8M0 are read as the bytes that they are, kU8.
  std::optional<DType> dtype;
  std::string stored_dtype;  // as the header spells it
  Shape shape;
  int64_t begin;  // bytes [begin, end) of the file
  int64_t end;

  int64_t nbytes() const { return end - begin; }
};

struct SafetensorsHeader {
  std::map<std::string, TensorEntry> tensors;
  std::map<std::string, std::string> metadata;
};

// Headers of this many bytes and more are refused, as the format demands.
inline constexpr int64_t kSafetensorsHeaderLimit = 100'000'000;

// Parses the JSON text of a header that `data_bytes` bytes of tensors follow. Entries count from
// the start of the file. The tensors must fill the data exactly: none beyond it, no two that
// overlap, no bytes that belong to none. `what` names the file in messages.
// Throws Error(kCheckpoint) that names the tensor, what was expected and what was found.
SafetensorsHeader parse_safetensors_header(std::string_view header, int64_t data_bytes,
                                           std::string_view what);

}  // namespace strake
