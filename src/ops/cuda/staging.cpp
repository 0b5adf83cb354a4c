#include "ops/cuda/staging.h"

#include <algorithm>
#include <cstring>

#include "ops/cuda/launch.h"

namespace strake::cuda {
namespace {

// Small ones for what a step needs, large ones once a weight has come by.
constexpr size_t kSmall = size_t{1} << 16;
constexpr size_t kLarge = size_t{16} << 20;

void wait_for(cudaEvent_t event, const Await& await, const char* what) {
  cudaError_t state = cudaErrorNotReady;
  await([&] { return (state = cudaEventQuery(event)) != cudaErrorNotReady; });
  check(state, what);
}

}  // namespace

Staging::~Staging() {
  // Freeing waits for the device.
  if (unwinding_) return;
  for (const Buffer& buffer : buffers_) {
    cudaFreeHost(buffer.data);
    if (buffer.idle != nullptr) cudaEventDestroy(buffer.idle);
  }
}

Staging::Buffer& Staging::next(size_t bytes, const Await& await) {
  Buffer& buffer = buffers_[next_];
  next_ = (next_ + 1) % kBuffers;
  if (buffer.idle == nullptr)
    check(cudaEventCreateWithFlags(&buffer.idle, cudaEventDisableTiming), "an event");
  else
    wait_for(buffer.idle, await, "a copy between host and device");
  const size_t wanted = bytes <= kSmall ? kSmall : kLarge;
  if (buffer.bytes < wanted) {
    check(cudaFreeHost(buffer.data), "a pinned buffer");
    buffer.bytes = 0;
    check(cudaMallocHost(reinterpret_cast<void**>(&buffer.data), wanted), "a pinned buffer");
    buffer.bytes = wanted;
  }
  return buffer;
}

void Staging::upload(std::span<const std::byte> from, std::byte* to, const Await& await,
                     cudaStream_t stream) {
  while (!from.empty()) {
    Buffer& buffer = next(from.size(), await);
    const auto part = from.first(std::min(from.size(), buffer.bytes));
    std::memcpy(buffer.data, part.data(), part.size());
    check(cudaMemcpyAsync(to, buffer.data, part.size(), cudaMemcpyHostToDevice, stream),
          "a copy to the device");
    check(cudaEventRecord(buffer.idle, stream), "a copy to the device");
    from = from.subspan(part.size());
    to += part.size();
  }
}

void Staging::download(const std::byte* from, std::span<std::byte> to, const Await& await,
                       cudaStream_t stream) {
  while (!to.empty()) {
    Buffer& buffer = next(to.size(), await);
    const auto part = to.first(std::min(to.size(), buffer.bytes));
    check(cudaMemcpyAsync(buffer.data, from, part.size(), cudaMemcpyDeviceToHost, stream),
          "a copy to the host");
    check(cudaEventRecord(buffer.idle, stream), "a copy to the host");
    wait_for(buffer.idle, await, "a copy to the host");
    std::memcpy(part.data(), buffer.data, part.size());
    from += part.size();
    to = to.subspan(part.size());
  }
}

}  // namespace strake::cuda
