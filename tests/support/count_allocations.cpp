#include "support/count_allocations.h"

#include <execinfo.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <iterator>

// glibc's own, below the names that this file takes.
extern "C" {
void* __libc_malloc(size_t bytes);                      // NOLINT
void* __libc_calloc(size_t count, size_t bytes);        // NOLINT
void* __libc_realloc(void* block, size_t bytes);        // NOLINT
void* __libc_memalign(size_t alignment, size_t bytes);  // NOLINT
}

namespace {

constinit std::atomic<int64_t> count = 0;
constinit std::atomic<bool> counting = false;

void count_one() {
  if (!counting || count++ > 0) return;
  void* frames[40];
  ::backtrace_symbols_fd(frames, ::backtrace(frames, std::size(frames)), STDERR_FILENO);
}

}  // namespace

extern "C" {

void* malloc(size_t bytes) {
  count_one();
  return __libc_malloc(bytes);
}

void* calloc(size_t number, size_t bytes) {
  count_one();
  return __libc_calloc(number, bytes);
}

void* realloc(void* block, size_t bytes) {
  count_one();
  return __libc_realloc(block, bytes);
}

void* memalign(size_t alignment, size_t bytes) {
  count_one();
  return __libc_memalign(alignment, bytes);
}

void* aligned_alloc(size_t alignment, size_t bytes) {
  count_one();
  return __libc_memalign(alignment, bytes);
}

int posix_memalign(void** block, size_t alignment, size_t bytes) {
  count_one();
  *block = __libc_memalign(alignment, bytes);
  return *block == nullptr ? ENOMEM : 0;
}

void* mmap(void* address, size_t bytes, int protection, int flags, int file, off_t offset) {
  count_one();
  return reinterpret_cast<void*>(
      ::syscall(SYS_mmap, address, bytes, protection, flags, file, offset));
}

}  // extern "C"

namespace strake {

void start_counting() {
  void* frame[1];
  ::backtrace(frame, 1);  // loads what it needs
  count = 0;
  counting = true;
}

int64_t stop_counting() {
  counting = false;
  return count;
}

}  // namespace strake
