#include "ops/cuda/activation_parts.h"
#include "ops/cuda/codes.h"
#include "ops/cuda/launch.h"

namespace strake::cuda {
namespace {

constexpr int kThreads = 256;

unsigned blocks_of(int64_t elements) {
  return static_cast<unsigned>((elements + kThreads - 1) / kThreads);
}

__global__ void split_kernel(const void* x, DType dtype, int64_t elements, int parts,
                             __nv_bfloat16* out) {
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= elements) return;
  float rest = load_floating(x, dtype, i);
  for (int part = 0; part < parts; ++part) {
    const __nv_bfloat16 taken = __float2bfloat16_rn(rest);
    out[part * elements + i] = taken;
    // Infinity and what is no number have no rest.
    rest = isfinite(rest) ? __fsub_rn(rest, __bfloat162float(taken)) : 0.0f;
  }
}

__global__ void merge_kernel(PartSums p) {
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= p.nodes * p.elements) return;
  const int64_t node = i / p.elements;
  const float* const from = p.sums + node * p.parts * p.elements + i % p.elements;
  float sum = from[0];
  for (int part = 1; part < p.parts; ++part) sum = __fadd_rn(sum, from[part * p.elements]);
  p.out[i] = sum;
}

}  // namespace

void split_parts(const void* x, DType dtype, int64_t elements, void* out, cudaStream_t stream) {
  if (elements == 0) return;
  launch({"split activations", blocks_of(elements), kThreads, 0, stream}, split_kernel, x, dtype,
         elements, parts_of(dtype), static_cast<__nv_bfloat16*>(out));
}

void merge_parts(const PartSums& sums, cudaStream_t stream) {
  if (sums.nodes * sums.elements == 0) return;
  launch({"merge sums", blocks_of(sums.nodes * sums.elements), kThreads, 0, stream}, merge_kernel,
         sums);
}

}  // namespace strake::cuda
