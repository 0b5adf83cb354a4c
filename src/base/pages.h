// Whole pages of the system's own, for what is large.
//
// The heap would keep holes, as large as the weights that stood there while they were laid out
// anew; the system takes pages back at once. It clears them before it gives them again, though,
// which takes longer than reading them from the page cache: while weights are loaded, what is freed
// is kept for what comes next.
#pragma once

#include <cstddef>

namespace strake {

// Aligned to 2 MiB, and huge where the system has such; nullptr when memory is short. What is in
// them is undefined. To be given back with the same number of bytes, by any thread.
void* take_pages(size_t bytes) noexcept;
void give_pages(void* pages, size_t bytes) noexcept;

// While one lives, up to `most` bytes of pages that are given back are kept: those latest given.
// They serve what has their size, or a little less: what tensor after tensor is read into finds the
// same pages again, while what stays takes new ones, and is cleared by the threads that write it.
// With sanitizers nothing is kept, so that they see every use of freed memory.
class KeptPages {
 public:
  explicit KeptPages(size_t most);
  ~KeptPages();
  KeptPages(const KeptPages&) = delete;
  KeptPages& operator=(const KeptPages&) = delete;
};

}  // namespace strake
