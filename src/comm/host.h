// Which machine a rank runs on.
#pragma once

#include <cstdint>

namespace strake {

// Tells machines apart. Containers of one machine have the same: its kernel divides its processors
// among them all.
uint64_t hash_host();

}  // namespace strake
