#include "base/recycled.h"

#include <algorithm>
#include <array>
#include <bit>

namespace strake {
namespace {

#ifdef STRAKE_SANITIZED
constexpr size_t kMostKept = 0;
#else
// By each thread: more than one token's tensors of any model take, and little beside its weights.
constexpr size_t kMostKept = size_t{8} << 20;
#endif

constexpr auto kAlignment = std::align_val_t{64};
constexpr size_t kUnit = 64;                            // bytes
constexpr size_t kLargest = (size_t{2} << 20) + kUnit;  // that is kept: a tensor below 2 MiB

// Sizes have four significant bits: up to 16 units each number of them, then eight for each power
// of two.
constexpr size_t kind_of(size_t bytes) {
  const size_t units = bytes == 0 ? 1 : (bytes + kUnit - 1) / kUnit;
  const int shift = std::max(0, static_cast<int>(std::bit_width(units)) - 4);
  return static_cast<size_t>(shift) * 8 + ((units - 1) >> shift) + 1;
}
constexpr size_t bytes_of(size_t kind) {
  const size_t shift = kind < 16 ? 0 : (kind - 8) / 8;
  return ((kind - shift * 8) << shift) * kUnit;
}

void* allocate(size_t bytes) noexcept { return ::operator new(bytes, kAlignment, std::nothrow); }
void free_block(void* block) noexcept { ::operator delete(block, kAlignment); }

thread_local constinit bool ended = false;  // this thread keeps nothing any more

class KeptBlocks {
 public:
  KeptBlocks() = default;
  KeptBlocks(const KeptBlocks&) = delete;
  KeptBlocks& operator=(const KeptBlocks&) = delete;
  ~KeptBlocks() {
    ended = true;
    shrink(0);
  }

  // nullptr: there is none.
  void* take(size_t kind) {
    Block* const block = latest_[kind];
    if (block != nullptr) remove(block);
    return block;
  }

  void keep(void* memory, size_t kind) {
    auto* const block = new (memory) Block{nullptr, newest_, nullptr, latest_[kind], kind};
    (newest_ != nullptr ? newest_->newer : oldest_) = block;
    if (block->before != nullptr) block->before->after = block;
    newest_ = latest_[kind] = block;
    bytes_ += bytes_of(kind);
    shrink(kMostKept);
  }

 private:
  // In a freed block's own memory: its neighbours among all, and among those of its size.
  struct Block {
    Block *newer, *older;
    Block *after, *before;
    size_t kind;
  };
  static_assert(sizeof(Block) <= kUnit);

  void remove(Block* block) {
    (block->newer != nullptr ? block->newer->older : newest_) = block->older;
    (block->older != nullptr ? block->older->newer : oldest_) = block->newer;
    (block->after != nullptr ? block->after->before : latest_[block->kind]) = block->before;
    if (block->before != nullptr) block->before->after = block->after;
    bytes_ -= bytes_of(block->kind);
  }

  void shrink(size_t most) {
    while (bytes_ > most) {
      Block* const block = oldest_;
      remove(block);
      free_block(block);
    }
  }

  std::array<Block*, kind_of(kLargest) + 1> latest_{};
  Block* newest_ = nullptr;
  Block* oldest_ = nullptr;
  size_t bytes_ = 0;
};

// nullptr while the thread ends.
KeptBlocks* kept_blocks() {
  if (ended) return nullptr;
  thread_local KeptBlocks blocks;
  return &blocks;
}

}  // namespace

void* take_block(size_t bytes) noexcept {
  if (bytes > kLargest) return allocate(bytes);
  const size_t kind = kind_of(bytes);
  KeptBlocks* const kept = kept_blocks();
  void* const block = kept != nullptr ? kept->take(kind) : nullptr;
  return block != nullptr ? block : allocate(bytes_of(kind));
}

void give_block(void* block, size_t bytes) noexcept {
  KeptBlocks* const kept = bytes > kLargest ? nullptr : kept_blocks();
  if (kept != nullptr)
    kept->keep(block, kind_of(bytes));
  else
    free_block(block);
}

}  // namespace strake
