// A GPU's memory as tensors see it.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/unwinding.h"
#include "ops/cuda/staging.h"
#include "strake/tensor/memory.h"

namespace strake::cuda {

// All work is queued in the stream of the thread that asks for it, so that a rank's kernels, copies
// and collectives run in the order in which they are asked for. What is freed is kept for the next
// who asks for as much, and may serve at once although kernels that use it have not run.
class GpuMemory final : public Memory {
 public:
  // What a recording works in. Its operations take memory from each other; nobody else does.
  class Arena {
    friend class GpuMemory;
    std::map<int64_t, std::vector<std::byte*>> given_;  // by size
  };

  explicit GpuMemory(int device) : device_(device) {}
  ~GpuMemory() override;

  Device device() const override { return Device::cuda(device_); }
  // Throws Error(kSystem) with what is free when memory is short.
  std::byte* take(int64_t bytes) override;
  void give(std::byte* data, int64_t bytes) noexcept override;
  void clear(std::byte* data, int64_t bytes) override;
  void copy_rows(const RowsToCopy& rows) override;
  void convert(const std::byte* from, DType from_dtype, std::byte* to, DType to_dtype,
               int64_t elements) override;
  void set_await(Await await) override { await_ = std::move(await); }
  // Both throw NotRecordable during a recording.
  void upload(std::span<const std::byte> from, std::byte* to) override;
  void download(const std::byte* from, std::span<std::byte> to, const Await& await) override;

  // Until the other call, memory comes from the arena, which must not move.
  void begin_recording(Arena& arena);
  void end_recording() noexcept;
  bool is_recording() const { return arena_ != nullptr; }
  // Its memory is everyone's again; what tensors still use, once they are gone.
  void release(Arena& arena) noexcept;

 private:
  std::byte* take_for(Arena& arena, int64_t size);
  std::byte* make(int64_t size);
  void return_kept() noexcept;

  int device_;
  std::mutex mutex_;
  std::map<int64_t, std::vector<std::byte*>> kept_;  // by size
  Arena* arena_ = nullptr;                           // of the recording that is going on
  std::unordered_map<std::byte*, Arena*> owners_;    // of all that is an arena's
  Staging staging_;
  Await await_ = [](const std::function<bool()>& done) {
    while (!done()) std::this_thread::yield();
  };
  Unwinding unwinding_;
};

}  // namespace strake::cuda
