// The numbers that GGUF's blocks stand for.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "io/gguf_type.h"

namespace strake {

// Decodes whole blocks to as many elements as they hold, each in float32 arithmetic of the block's
// scale and code. `name` stands in messages. Throws Error(kUnsupported) that names the type when
// it has no decoder.
void decode_gguf(std::string_view name, GgufType type, std::span<const std::byte> blocks,
                 std::span<float> out);

}  // namespace strake
