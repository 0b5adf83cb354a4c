#include "base/pages.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <mutex>
#include <new>
#include <vector>

namespace strake {
namespace {

constexpr size_t kPage = size_t{4} << 10;
constexpr size_t kHugePage = size_t{2} << 20;
#ifdef STRAKE_SANITIZED
constexpr bool kKeeps = false;
#else
constexpr bool kKeeps = true;
#endif

constexpr size_t round_up(size_t value, size_t unit) { return (value + unit - 1) / unit * unit; }

std::byte* align(std::byte* pages) {
  const auto address = reinterpret_cast<uintptr_t>(pages);
  return pages + (round_up(address, kHugePage) - address);
}

void unmap(std::byte* begin, std::byte* end) noexcept {
  if (begin != end) ::munmap(begin, static_cast<size_t>(end - begin));
}

std::byte* map(size_t bytes) noexcept {
  const size_t room = bytes + kHugePage;
  void* const mapped =
      ::mmap(nullptr, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  auto* const begin = static_cast<std::byte*>(mapped);
  std::byte* const pages = align(begin);
  unmap(begin, pages);
  unmap(pages + bytes, begin + room);
  // Kernels that stream weights run a quarter faster from huge pages.
  ::madvise(pages, bytes, MADV_HUGEPAGE);
  return pages;
}

// The process's, like its heap.
class Keeper {
 public:
  void begin(size_t most) {
    const std::lock_guard lock(mutex_);
    ++scopes_;
    most_ = std::max(most_, most);
  }
  void end() {
    const std::lock_guard lock(mutex_);
    if (--scopes_ > 0) return;
    most_ = 0;
    shrink();
  }

  std::byte* take(size_t bytes) {
    {
      const std::lock_guard lock(mutex_);
      const auto found = std::ranges::find_if(kept_, [&](const Range& range) {
        return range.bytes >= bytes && range.bytes - bytes <= bytes / kWaste;
      });
      if (found != kept_.end()) {
        const Range range = *found;
        kept_.erase(found);
        bytes_ -= range.bytes;
        unmap(range.begin + bytes, range.begin + range.bytes);
        return range.begin;
      }
    }
    return map(bytes);
  }

  void give(std::byte* pages, size_t bytes) noexcept {
    {
      const std::lock_guard lock(mutex_);
      if (kKeeps && bytes <= most_ && keep({pages, bytes})) return;
    }
    unmap(pages, pages + bytes);
  }

 private:
  struct Range {
    std::byte* begin;
    size_t bytes;
  };
  // What is taken may be smaller by this part of itself.
  static constexpr size_t kWaste = 64;

  // Not where memory is too short to say so.
  bool keep(const Range& range) noexcept {
    try {
      kept_.push_back(range);
    } catch (const std::bad_alloc&) {
      return false;
    }
    bytes_ += range.bytes;
    shrink();
    return true;
  }

  // Those that nobody took for the longest go first.
  void shrink() noexcept {
    auto end = kept_.begin();
    for (; bytes_ > most_; ++end) {
      unmap(end->begin, end->begin + end->bytes);
      bytes_ -= end->bytes;
    }
    kept_.erase(kept_.begin(), end);
  }

  std::mutex mutex_;
  std::vector<Range> kept_;  // in the order that they were given back
  size_t bytes_ = 0;         // of all kept
  size_t most_ = 0;
  int scopes_ = 0;
};

Keeper& keeper() {
  // Never destroyed: threads that outlive main may still give pages back.
  static auto* const keeper = new Keeper;
  return *keeper;
}

}  // namespace

void* take_pages(size_t bytes) noexcept { return keeper().take(round_up(bytes, kPage)); }

void give_pages(void* pages, size_t bytes) noexcept {
  keeper().give(static_cast<std::byte*>(pages), round_up(bytes, kPage));
}

KeptPages::KeptPages(size_t most) { keeper().begin(most); }
KeptPages::~KeptPages() { keeper().end(); }

}  // namespace strake
