// A GPU's memory as tensors see it.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <vector>

#include "ops/cuda/staging.h"
#include "strake/tensor/memory.h"

namespace strake::cuda {

// All work is queued in the stream of the thread that asks for it, so that a rank's kernels, copies
// and collectives run in the order in which they are asked for. What is freed is kept for the next
// who asks for as much, and may serve at once although kernels that use it have not run.
class GpuMemory final : public Memory {
 public:
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
  void upload(std::span<const std::byte> from, std::byte* to) override;
  void download(const std::byte* from, std::span<std::byte> to, const Await& await) override;

 private:
  std::byte* make(int64_t size);
  void return_kept() noexcept;

  int device_;
  std::mutex mutex_;
  std::map<int64_t, std::vector<std::byte*>> kept_;  // by size
  Staging staging_;
};

}  // namespace strake::cuda
