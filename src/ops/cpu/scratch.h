// Memory that threads work in.
#pragma once

#include <cstddef>
#include <memory>
#include <new>

namespace strake::cpu {

// A part for each range that a team divides a call into, whichever thread runs it. It grows and is
// kept, so that steps of a size that was seen before allocate nothing.
class Scratch {
 public:
  explicit Scratch(int ranges) : ranges_(static_cast<size_t>(ranges)) {}

  // At least `bytes` for each range; what was there is lost.
  void reserve(size_t bytes);
  // Aligned to 64.
  std::byte* operator[](int range) const {
    return memory_.get() + static_cast<size_t>(range) * part_;
  }

 private:
  struct Free {
    void operator()(std::byte* p) const { ::operator delete (p, std::align_val_t{64}); }
  };

  size_t ranges_;
  size_t part_ = 0;  // bytes
  std::unique_ptr<std::byte, Free> memory_;
};

}  // namespace strake::cpu
