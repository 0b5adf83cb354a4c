// Counts what the process takes from the heap and the system.
#pragma once

#include <cstdint>

namespace strake {

// From one call to the other, all threads' calls of malloc and its kin, which operator new ends in,
// and of mmap. The first writes to standard error where it comes from. For programs that link
// count_allocations.cpp, which takes these names for itself.
void start_counting();
int64_t stop_counting();

}  // namespace strake
