// What a GPU's memory gives at best: what speeds are given as shares of.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace strake::cuda {

// Bytes a second that a kernel reads and writes which copies `bytes`, a multiple of 16; the best of
// a few runs. Waits for what is queued in the stream.
double copy_bandwidth(const void* from, void* to, int64_t bytes, cudaStream_t stream);

}  // namespace strake::cuda
