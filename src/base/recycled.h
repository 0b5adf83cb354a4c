// Memory that one step frees and the next one takes again.
//
// Like the heap below it, this belongs to the process, not to a context. Each thread keeps what it
// frees, up to a few MiB, by size; when that is full, what nobody asked for the longest goes back
// to the heap first. With sanitizers nothing is kept, so that they see every use of freed memory.
#pragma once

#include <cstddef>
#include <new>
#include <vector>

namespace strake {

// Aligned to 64; nullptr when memory is short. To be given back with the same number of bytes, by
// any thread.
void* take_block(size_t bytes) noexcept;
void give_block(void* block, size_t bytes) noexcept;

template <class T>
struct RecyclingAllocator {
  using value_type = T;

  RecyclingAllocator() = default;
  template <class U>
  RecyclingAllocator(const RecyclingAllocator<U>&) noexcept {}  // NOLINT: allocators convert

  T* allocate(size_t count) {
    if (count > static_cast<size_t>(-1) / sizeof(T)) throw std::bad_array_new_length();
    void* const block = take_block(count * sizeof(T));
    if (block == nullptr) throw std::bad_alloc();
    return static_cast<T*>(block);
  }
  void deallocate(T* values, size_t count) noexcept { give_block(values, count * sizeof(T)); }

  friend bool operator==(RecyclingAllocator, RecyclingAllocator) { return true; }
};

// What lives within a step.
template <class T>
using Recycled = std::vector<T, RecyclingAllocator<T>>;

}  // namespace strake
