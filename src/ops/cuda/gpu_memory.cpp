#include "ops/cuda/gpu_memory.h"

#include <bit>

#include "base/fail.h"
#include "ops/cuda/elementwise.h"
#include "ops/cuda/launch.h"
#include "strake/ops/position.h"

namespace strake::cuda {
namespace {

const cudaStream_t kStream = cudaStreamPerThread;

// Four sizes between powers of two, so that steps that differ little ask for the same; sixteen
// where one would waste much.
int64_t size_class(int64_t bytes) {
  constexpr int64_t kLeast = 512, kMuch = int64_t{32} << 20;
  if (bytes <= kLeast) return kLeast;
  const int finer = bytes > kMuch ? 5 : 3;
  const int64_t step = int64_t{1} << (std::bit_width(static_cast<uint64_t>(bytes - 1)) - finer);
  return (bytes + step - 1) / step * step;
}

// nullptr where memory is short.
std::byte* allocate(int64_t size) {
  void* data = nullptr;
  const cudaError_t result = cudaMalloc(&data, static_cast<size_t>(size));
  if (result == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    return nullptr;
  }
  check(result, "memory for a tensor");
  return static_cast<std::byte*>(data);
}

}  // namespace

GpuMemory::~GpuMemory() {
  // What has failed may keep the device from ever coming to an end.
  if (unwinding_) return;
  cudaDeviceSynchronize();
  return_kept();
}

std::byte* GpuMemory::take(int64_t bytes) {
  const int64_t size = size_class(bytes);
  const std::lock_guard lock(mutex_);
  if (arena_ != nullptr) return take_for(*arena_, size);
  auto& kept = kept_[size];
  if (kept.empty()) return make(size);
  std::byte* const data = kept.back();
  kept.pop_back();
  return data;
}

std::byte* GpuMemory::take_for(Arena& arena, int64_t size) {
  for (auto* const blocks : {&arena.given_[size], &kept_[size]}) {
    if (blocks->empty()) continue;
    std::byte* const data = blocks->back();
    blocks->pop_back();
    owners_[data] = &arena;
    return data;
  }
  std::byte* const data = allocate(size);
  if (data == nullptr) throw NotRecordable();  // outside, more can be tried
  owners_[data] = &arena;
  return data;
}

void GpuMemory::give(std::byte* data, int64_t bytes) noexcept {
  const int64_t size = size_class(bytes);
  const std::lock_guard lock(mutex_);
  const auto owner = owners_.find(data);
  (owner == owners_.end() ? kept_ : owner->second->given_)[size].push_back(data);
}

void GpuMemory::begin_recording(Arena& arena) {
  const std::lock_guard lock(mutex_);
  arena_ = &arena;
}

void GpuMemory::end_recording() noexcept {
  const std::lock_guard lock(mutex_);
  arena_ = nullptr;
}

void GpuMemory::release(Arena& arena) noexcept {
  const std::lock_guard lock(mutex_);
  std::erase_if(owners_, [&](const auto& owned) { return owned.second == &arena; });
  for (auto& [size, blocks] : arena.given_) {
    auto& kept = kept_[size];
    kept.insert(kept.end(), blocks.begin(), blocks.end());
  }
  arena.given_.clear();
}

std::byte* GpuMemory::make(int64_t size) {
  if (std::byte* const data = allocate(size)) return data;
  // What is kept in other sizes may be enough. To free it waits for the device, without a limit.
  await_([] { return cudaStreamQuery(kStream) != cudaErrorNotReady; });
  return_kept();
  if (std::byte* const data = allocate(size)) return data;
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
  if (is_recording()) throw NotRecordable();
  staging_.upload(from, to, await_, kStream);
}

void GpuMemory::download(const std::byte* from, std::span<std::byte> to, const Await& await) {
  if (is_recording()) throw NotRecordable();
  staging_.download(from, to, await, kStream);
}

}  // namespace strake::cuda
