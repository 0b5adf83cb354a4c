// What the cores at hand can do, measured: what speeds are given as shares of.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "strake/base/thread_pool.h"

namespace strake {

// Each call is one sample of some milliseconds on `threads` threads; callers interleave samples
// with what they measure and take medians.
class Probes {
 public:
  explicit Probes(int threads);
  ~Probes();

  // Bytes a second: 64-byte loads over 512 MB, more than caches hold, in huge pages.
  double read_bandwidth();
  // Operations a second (a multiplication and an addition are two) of the processor's product of
  // bfloat16 pairs into float32, or of its float32 FMA where it has none.
  double product_rate();
  // Independent additions in the time of one that waits for another: about 4 on an idle core.
  // What shares the core takes from this first. The least of all threads.
  double adds_per_cycle();

 private:
  struct Unmap {
    void operator()(std::byte* bytes) const;
  };
  ThreadPool pool_;
  std::unique_ptr<std::byte, Unmap> bytes_;
};

}  // namespace strake
