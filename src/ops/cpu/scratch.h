// Memory that a thread works in.
#pragma once

#include <cstddef>

namespace strake::cpu {

// At least `bytes`, aligned to 64, this thread's own until its next call: it grows and is kept, so
// that steps of a size that was seen before allocate nothing.
std::byte* thread_scratch(size_t bytes);

}  // namespace strake::cpu
