// What the cores at hand can do, measured: what speeds are given as shares of.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "strake/base/thread_pool.h"

namespace strake {

// Each call is one sample of some milliseconds on `threads` threads; callers interleave samples
// with what they measure and take medians.
class Probes {
 public:
  // For the products of one of backend_paths("cpu").
  Probes(int threads, std::string_view path);
  ~Probes();

  // Bytes a second: 64-byte loads over 512 MB, more than caches hold, in huge pages.
  double read_bandwidth();
  // Operations a second (a multiplication and an addition are two) of the instructions that the
  // path's products are made of: AMX's tile product, AVX-512's of bfloat16 pairs, float32 FMA, or
  // float32 multiplications and additions.
  double product_rate();
  // Independent additions in the time of one that waits for another: about 4 on an idle core.
  // What shares the core takes from this first. The least of all threads.
  double adds_per_cycle();

 private:
  struct Unmap {
    void operator()(std::byte* bytes) const;
  };
  ThreadPool pool_;
  double (*products_)();  // does some, and returns how many operations those are
  std::unique_ptr<std::byte, Unmap> bytes_;
};

}  // namespace strake
