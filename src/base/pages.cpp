#include "base/pages.h"

#include <sys/mman.h>

#include <cstdint>
#include <iterator>
#include <map>
#include <mutex>

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
  void begin() {
    const std::lock_guard lock(mutex_);
    ++scopes_;
  }
  void end() {
    const std::lock_guard lock(mutex_);
    if (--scopes_ == 0) release();
  }

  std::byte* take(size_t bytes) {
    const std::lock_guard lock(mutex_);
    const auto found = tightest(bytes);
    if (found == ranges_.end()) {
      release();
      return map(bytes);
    }
    const auto [begin, end] = *found;
    std::byte* const pages = align(begin);
    ranges_.erase(found);
    if (begin != pages) ranges_.emplace(begin, pages);
    if (pages + bytes != end) ranges_.emplace(pages + bytes, end);
    return pages;
  }

  void give(std::byte* pages, size_t bytes) {
    const std::lock_guard lock(mutex_);
    std::byte* end = pages + bytes;
    if (scopes_ == 0 || !kKeeps) {
      unmap(pages, end);
      return;
    }
    const auto after = ranges_.find(end);
    if (after != ranges_.end()) {
      end = after->second;
      ranges_.erase(after);
    }
    const auto next = ranges_.lower_bound(pages);
    if (next != ranges_.begin() && std::prev(next)->second == pages)
      std::prev(next)->second = end;
    else
      ranges_.emplace(pages, end);
  }

 private:
  using Ranges = std::map<std::byte*, std::byte*>;  // by their begin: their end

  // Of those that hold so many bytes from a huge page on.
  Ranges::iterator tightest(size_t bytes) {
    auto found = ranges_.end();
    for (auto range = ranges_.begin(); range != ranges_.end(); ++range) {
      const auto& [begin, end] = *range;
      if (end - align(begin) < static_cast<std::ptrdiff_t>(bytes)) continue;
      if (found == ranges_.end() || end - begin < found->second - found->first) found = range;
    }
    return found;
  }

  void release() noexcept {
    for (const auto& [begin, end] : ranges_) unmap(begin, end);
    ranges_.clear();
  }

  std::mutex mutex_;
  Ranges ranges_;
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

KeptPages::KeptPages() { keeper().begin(); }
KeptPages::~KeptPages() { keeper().end(); }

}  // namespace strake
