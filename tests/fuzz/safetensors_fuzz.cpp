// Any bytes as the header of a safetensors file: either an Error, or entries that fit the data.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "io/safetensors_header.h"
#include "strake/base/error.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const std::string_view header(reinterpret_cast<const char*>(bytes), size);
  // Headers in the corpus describe 64 bytes.
  constexpr int64_t kData = 64;
  try {
    const auto parsed = strake::parse_safetensors_header(header, kData, "f");
    const auto start = static_cast<int64_t>(8 + size);
    for (const auto& [name, entry] : parsed.tensors)
      if (entry.begin < start || entry.end < entry.begin || entry.end > start + kData) std::abort();
  } catch (const strake::Error&) {
  }
  return 0;
}
