#include "strake/tensor/storage.h"

#include <algorithm>
#include <atomic>
#include <new>
#include <utility>

#include "base/fail.h"
#include "base/pages.h"
#include "base/recycled.h"
#include "strake/tensor/memory.h"

namespace strake {
namespace {

constexpr size_t kLarge = size_t{2} << 20;  // bytes: from here on, pages of their own

}  // namespace

// Stands right before the bytes, unless these are pages of their own or a device's.
struct alignas(64) Storage::Block {
  std::atomic<int64_t> owners = 1;
  std::byte* data;
  size_t bytes;  // counted from `data`
  std::shared_ptr<Memory> memory = nullptr;

  // All return nullptr when memory is short.
  static Block* take(size_t bytes) {
    return bytes >= kLarge ? beside(static_cast<std::byte*>(take_pages(bytes)), bytes, nullptr)
                           : before(bytes);
  }
  static Block* take(std::shared_ptr<Memory> memory, size_t bytes) {
    std::byte* const data = memory->take(static_cast<int64_t>(bytes));
    return beside(data, bytes, std::move(memory));
  }

  void give() {
    const size_t size = sizeof(Block) + (is_before() ? bytes : 0);
    if (!is_before()) give_data(memory.get(), data, bytes);
    this->~Block();
    give_block(this, size);
  }

 private:
  bool is_before() const { return data == reinterpret_cast<const std::byte*>(this + 1); }

  static Block* before(size_t bytes) {
    void* const taken = take_block(sizeof(Block) + bytes);
    if (taken == nullptr) return nullptr;
    return new (taken)
        Block{.data = static_cast<std::byte*>(taken) + sizeof(Block), .bytes = bytes};
  }
  static Block* beside(std::byte* data, size_t bytes, std::shared_ptr<Memory> memory) {
    void* const taken = data == nullptr ? nullptr : take_block(sizeof(Block));
    if (taken == nullptr) {
      if (data != nullptr) give_data(memory.get(), data, bytes);
      return nullptr;
    }
    return new (taken) Block{.data = data, .bytes = bytes, .memory = std::move(memory)};
  }
  static void give_data(Memory* memory, std::byte* data, size_t bytes) noexcept {
    if (memory != nullptr)
      memory->give(data, static_cast<int64_t>(bytes));
    else
      give_pages(data, bytes);
  }
};

Storage Storage::allocate(int64_t bytes) { return allocate(nullptr, bytes); }

Storage Storage::allocate(std::shared_ptr<Memory> memory, int64_t bytes) {
  Storage storage;
  if (memory == nullptr) {
    if (bytes == 0) return storage;
    storage.block_ = Block::take(static_cast<size_t>(bytes));
  } else {
    // Even no bytes are somewhere.
    storage.block_ =
        Block::take(std::move(memory), static_cast<size_t>(std::max<int64_t>(bytes, 1)));
  }
  if (storage.block_ == nullptr)
    fail(ErrorKind::kSystem, "out of memory: {} bytes for a tensor", bytes);
  storage.data_ = storage.block_->data;
  return storage;
}

const std::shared_ptr<Memory>& Storage::memory() const {
  static const std::shared_ptr<Memory> kHost;
  return block_ == nullptr ? kHost : block_->memory;
}

Storage Storage::from(int64_t offset) const {
  Storage storage = *this;
  if (data_ != nullptr) storage.data_ += offset;
  return storage;
}

void Storage::retain() const noexcept { block_->owners.fetch_add(1, std::memory_order_relaxed); }

void Storage::release() const noexcept {
  if (block_->owners.fetch_sub(1, std::memory_order_acq_rel) == 1) block_->give();
}

}  // namespace strake
