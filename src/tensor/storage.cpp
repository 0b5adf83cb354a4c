#include "strake/tensor/storage.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <new>

#include "base/fail.h"
#include "base/recycled.h"
#include "strake/tensor/memory.h"

namespace strake {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;

}  // namespace

// Stands right before the bytes, unless these are a device's.
struct alignas(64) Storage::Block {
  std::atomic<int64_t> owners = 1;
  void* taken;   // what the block lies in, or the device's bytes
  size_t bytes;  // of that
  std::shared_ptr<Memory> memory = nullptr;

  std::byte* data() { return reinterpret_cast<std::byte*>(this + 1); }

  // Both return nullptr when memory is short.
  static Block* take(size_t bytes) {
    const size_t size = sizeof(Block) + bytes;
    void* const taken = take_block(size);
    return taken == nullptr ? nullptr : new (taken) Block{.taken = taken, .bytes = size};
  }
  // Whole pages of the system's own, which take a freed tensor back at once: the heap would keep
  // holes, as large as the tensors that stood there while weights were laid out anew.
  static Block* map(size_t bytes) {
    size_t room = kHugePage + sizeof(Block) + bytes;
    const size_t mapped = room;
    void* const base =
        ::mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED) return nullptr;
    void* data = static_cast<std::byte*>(base) + sizeof(Block);
    room -= sizeof(Block);
    std::align(kHugePage, bytes, data, room);
    // Kernels that stream weights run a quarter faster from huge pages.
    ::madvise(data, bytes, MADV_HUGEPAGE);
    return new (static_cast<Block*>(data) - 1) Block{.taken = base, .bytes = mapped};
  }

  bool is_mapped() const { return taken != this; }
};

Storage Storage::allocate(int64_t bytes) {
  Storage storage;
  if (bytes == 0) return storage;
  const auto size = static_cast<size_t>(bytes);
  storage.block_ = size >= kHugePage ? Block::map(size) : Block::take(size);
  if (storage.block_ == nullptr)
    fail(ErrorKind::kSystem, "out of memory: {} bytes for a tensor", bytes);
  storage.data_ = storage.block_->data();
  return storage;
}

Storage Storage::allocate(std::shared_ptr<Memory> memory, int64_t bytes) {
  if (memory == nullptr) return allocate(bytes);
  Storage storage;
  bytes = std::max<int64_t>(bytes, 1);  // even no bytes are somewhere
  std::byte* const data = memory->take(bytes);
  storage.block_ = Block::take(0);
  if (storage.block_ == nullptr) {
    memory->give(data, bytes);
    fail(ErrorKind::kSystem, "out of memory: a tensor's counter");
  }
  storage.block_->taken = data;
  storage.block_->bytes = static_cast<size_t>(bytes);
  storage.block_->memory = std::move(memory);
  storage.data_ = data;
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
  if (block_->owners.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  if (block_->memory != nullptr) {
    block_->memory->give(static_cast<std::byte*>(block_->taken),
                         static_cast<int64_t>(block_->bytes));
    block_->~Block();
    give_block(block_, sizeof(Block));
  } else if (block_->is_mapped()) {
    ::munmap(block_->taken, block_->bytes);
  } else {
    give_block(block_->taken, block_->bytes);
  }
}

}  // namespace strake
