// Where the bytes of tensors are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

namespace strake {

class Memory;

// Counted bytes, which copies share, or none. What is freed is kept for the next of its size, so
// that a step like the one before allocates nothing; 2 MiB and more are pages of the system's own,
// which takes them back at once, or when weights have been loaded.
class Storage {
 public:
  Storage() = default;  // none
  // Uninitialized, aligned to 64 (to 2 MiB pages when large). Throws Error(kSystem) when memory is
  // short.
  static Storage allocate(int64_t bytes);
  // In a device's memory; in the host's without one.
  static Storage allocate(std::shared_ptr<Memory> memory, int64_t bytes);

  Storage(const Storage& other) noexcept : block_(other.block_), data_(other.data_) {
    if (block_ != nullptr) retain();
  }
  Storage(Storage&& other) noexcept
      : block_(std::exchange(other.block_, nullptr)), data_(std::exchange(other.data_, nullptr)) {}
  Storage& operator=(Storage other) noexcept {
    std::swap(block_, other.block_);
    std::swap(data_, other.data_);
    return *this;
  }
  ~Storage() {
    if (block_ != nullptr) release();
  }

  std::byte* data() const { return data_; }
  // Where that is; nullptr: in the host's.
  const std::shared_ptr<Memory>& memory() const;
  // The same bytes from `offset` on.
  Storage from(int64_t offset) const;

 private:
  struct Block;
  void retain() const noexcept;
  void release() const noexcept;

  Block* block_ = nullptr;
  std::byte* data_ = nullptr;
};

}  // namespace strake
