#include "ops/cpu/scratch.h"

namespace strake::cpu {
namespace {

constexpr size_t kPage = 4096;  // of memory: the first to write one decides where it is

}  // namespace

void Scratch::reserve(size_t bytes) {
  if (bytes <= part_) return;
  memory_.reset();
  part_ = 0;
  const size_t part = (bytes + kPage - 1) / kPage * kPage;
  memory_.reset(static_cast<std::byte*>(::operator new (ranges_* part, std::align_val_t{64})));
  part_ = part;
}

}  // namespace strake::cpu
