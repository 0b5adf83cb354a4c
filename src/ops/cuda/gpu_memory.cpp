#include "ops/cuda/gpu_memory.h"

#include <bit>

#include "base/fail.h"
#include "ops/cuda/elementwise.h"
#include "ops/cuda/launch.h"

namespace strake::cuda {
namespace {

const cudaStream_t kStream = cudaStreamPerThread;

// Four sizes between powers of two, so that steps that differ little ask for the same.
int64_t size_class(int64_t bytes) {
  constexpr int64_t kLeast = 512;
  if (bytes <= kLeast) return kLeast;
  const int64_t step = int64_t{1} << (std::bit_width(static_cast<uint64_t>(bytes - 1)) - 3);
  return (bytes + step - 1) / step * step;
}

}  // namespace

GpuMemory::~GpuMemory() {
  cudaDeviceSynchronize();
  return_kept();
}

std::byte* GpuMemory::take(int64_t bytes) {
  const int64_t size = size_class(bytes);
  const std::lock_guard lock(mutex_);
  auto& kept = kept_[size];
  if (kept.empty()) return make(size);
  std::byte* const data = kept.back();
  kept.pop_back();
  return data;
}

void GpuMemory::give(std::byte* data, int64_t bytes) noexcept {
  const std::lock_guard lock(mutex_);
  kept_[size_class(bytes)].push_back(data);
}

std::byte* GpuMemory::make(int64_t size) {
  void* data = nullptr;
  if (cudaMalloc(&data, static_cast<size_t>(size)) == cudaSuccess)
    return static_cast<std::byte*>(data);
  cudaGetLastError();
  // What is kept in other sizes may be enough.
  cudaDeviceSynchronize();
  return_kept();
  if (cudaMalloc(&data, static_cast<size_t>(size)) == cudaSuccess)
    return static_cast<std::byte*>(data);
  cudaGetLastError();
  size_t free = 0;
  size_t total = 0;
  cudaMemGetInfo(&free, &total);
  fail(ErrorKind::kSystem, "out of memory on GPU {}: {} bytes for a tensor, {} of {} are free",
       device_, size, free, total);
}

void GpuMemory::return_kept() noexcept {
  for (auto& [size, kept] : kept_) {
    for (std::byte* data : kept) cudaFree(data);
    kept.clear();
  }
}

void GpuMemory::clear(std::byte* data, int64_t bytes) {
  check(cudaMemsetAsync(data, 0, static_cast<size_t>(bytes), kStream), "clearing memory");
}

void GpuMemory::copy_rows(const RowsToCopy& rows) {
  cuda::copy_rows({rows.from, rows.from_stride, rows.to, rows.to_stride, rows.row_bytes, rows.rows},
                  kStream);
}

void GpuMemory::convert(const std::byte* from, DType from_dtype, std::byte* to, DType to_dtype,
                        int64_t elements) {
  cast({from, from_dtype, elements}, {to, to_dtype, elements}, {1, elements}, kStream);
}

void GpuMemory::upload(std::span<const std::byte> from, std::byte* to) {
  staging_.upload(from, to, kStream);
}

void GpuMemory::download(const std::byte* from, std::span<std::byte> to, const Await& await) {
  staging_.download(from, to, await, kStream);
}

}  // namespace strake::cuda
