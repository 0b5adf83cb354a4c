// Copies between the host's pageable memory and a GPU through pinned buffers.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <span>

#include "base/unwinding.h"
#include "strake/tensor/memory.h"

namespace strake::cuda {

// Buffers that take turns: one is filled or emptied while others are on their way.
class Staging {
 public:
  Staging() = default;
  ~Staging();
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  // `from` may be overwritten on return; the copy is queued in the stream.
  void upload(std::span<const std::byte> from, std::byte* to, const Await& await,
              cudaStream_t stream);
  // `to` is filled on return.
  void download(const std::byte* from, std::span<std::byte> to, const Await& await,
                cudaStream_t stream);

 private:
  struct Buffer {
    std::byte* data = nullptr;
    size_t bytes = 0;
    cudaEvent_t idle = nullptr;  // its last copy has ended
  };
  // The next buffer, idle, with room for the first of so many bytes.
  Buffer& next(size_t bytes, const Await& await);

  static constexpr int kBuffers = 8;
  Buffer buffers_[kBuffers];
  int next_ = 0;
  Unwinding unwinding_;
};

}  // namespace strake::cuda
