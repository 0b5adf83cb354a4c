#include "ops/cpu/scratch.h"

#include <memory>
#include <new>

namespace strake::cpu {

std::byte* thread_scratch(size_t bytes) {
  struct Free {
    void operator()(std::byte* p) const { ::operator delete (p, std::align_val_t{64}); }
  };
  thread_local std::unique_ptr<std::byte, Free> memory;
  thread_local size_t size = 0;
  if (bytes > size) {
    memory.reset();
    size = 0;
    memory.reset(static_cast<std::byte*>(::operator new (bytes, std::align_val_t{64})));
    size = bytes;
  }
  return memory.get();
}

}  // namespace strake::cpu
