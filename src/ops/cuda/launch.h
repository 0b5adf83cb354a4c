// Starting kernels, and what comes of it.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <string>

#include "strake/base/error.h"

namespace strake::cuda {

// Throws Error(kSystem) that names this thread's GPU, what was asked of it, and whether something
// that was queued before has failed.
[[noreturn]] void fail_on_gpu(cudaError_t error, const char* what);

inline void check(cudaError_t result, const char* what) {
  if (result != cudaSuccess) fail_on_gpu(result, what);
}

// Of this thread's GPU.
int device_attribute(cudaDeviceAttr which);

// Whether a kernel may start while the one before it in the stream still runs; it then waits in
// wait_for_predecessor() before it reads what that one writes.
enum class Order { kAfter, kOverlapping };

struct Launch {
  const char* what;
  dim3 grid;
  dim3 block;
  size_t shared = 0;  // bytes
  cudaStream_t stream = nullptr;
  Order order = Order::kAfter;
};

// Neither allocates nor waits, so that it may be captured in a graph.
template <class... Parameters, class... Arguments>
void launch(const Launch& at, void (*kernel)(Parameters...), const Arguments&... arguments) {
  const auto run = [&](Parameters... values) {
    const auto* const function = reinterpret_cast<const void*>(kernel);
    if (at.shared > size_t{48} << 10)
      check(cudaFuncSetAttribute(function, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                 static_cast<int>(at.shared)),
            at.what);
    cudaLaunchAttribute overlap[2]{};
    overlap[0].id = cudaLaunchAttributeProgrammaticStreamSerialization;
    overlap[0].val.programmaticStreamSerializationAllowed = 1;
    // A multiprocessor divides its memory into L1 cache and shared memory, and otherwise than now
    // only once it is idle: kernels that are to run there together need the same division.
    overlap[1].id = cudaLaunchAttributePreferredSharedMemoryCarveout;
    overlap[1].val.sharedMemCarveout = cudaSharedmemCarveoutMaxShared;
    cudaLaunchConfig_t config{};
    config.gridDim = at.grid;
    config.blockDim = at.block;
    config.dynamicSmemBytes = at.shared;
    config.stream = at.stream;
    config.attrs = overlap;
    config.numAttrs = at.order == Order::kOverlapping ? 2 : 0;
    void* pointers[] = {&values...};
    check(cudaLaunchKernelExC(&config, function, pointers), at.what);
  };
  run(static_cast<Parameters>(arguments)...);
}

}  // namespace strake::cuda
