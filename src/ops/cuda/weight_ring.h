// A warp's stream of weights through a ring of stages in shared memory. For device code.
#pragma once

#include <cstdint>

#include "ops/cuda/ptx.h"

namespace strake::cuda {

// Two to kMostStages stages, of `kCodes` bytes of codes and `kScales` of scales at most. The warp
// that fills them reads them, so that no other has to wait. From sm_90 on the copy engine fills
// them.
template <int kMostStages, int kCodes, int kScales>
class WeightRing {
 public:
  static constexpr int kStageBytes = (kCodes + kScales + 127) / 128 * 128;
  static constexpr int kBarrierBytes = kMostStages * 8;

  // Memory for `count` stages and for barriers, of this warp.
  __device__ WeightRing(uint8_t* stages, int count, uint8_t* barriers, int lane)
      : stages_(stages), count_(count), barriers_(shared_address(barriers)), lane_(lane) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
    if (lane == 0) {
      for (int stage = 0; stage < count; ++stage)
        asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(barriers_ + 8 * stage)
                     : "memory");
      asm volatile("fence.mbarrier_init.release.cluster;\nfence.proxy.async.shared::cta;" ::
                       : "memory");
    }
    __syncwarp();
    asm("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy_));
#endif
  }

  // Bytes are multiples of 16; 0 of codes: nothing is left to bring.
  __device__ void fill(const uint8_t* codes, int code_bytes, const uint8_t* scales,
                       int scale_bytes) {
    uint8_t* const to = stages_ + fill_ * kStageBytes;
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
    if (lane_ == 0 && code_bytes > 0) {
      const uint32_t barrier = barriers_ + 8 * fill_;
      asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier),
                   "r"(code_bytes + scale_bytes)
                   : "memory");
      copy(to, codes, code_bytes, barrier);
      if (kScales > 0) copy(to + kCodes, scales, scale_bytes, barrier);
    }
#else
    for (int i = 16 * lane_; i < code_bytes; i += 512) copy_async(to + i, codes + i, 16);
    if (kScales > 0 && code_bytes > 0)
      for (int i = 16 * lane_; i < scale_bytes; i += 512)
        copy_async(to + kCodes + i, scales + i, 16);
    commit_copies();
#endif
    fill_ = fill_ + 1 == count_ ? 0 : fill_ + 1;
  }

  // The stage filled first of those not yet read, when it is there.
  __device__ const uint8_t* wait() {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
    const uint32_t barrier = barriers_ + 8 * read_;
    uint32_t done = 0;
    while (done == 0)
      asm volatile(
          "{\n.reg .pred done;\n"
          "mbarrier.try_wait.parity.shared::cta.b64 done, [%1], %2;\n"
          "selp.u32 %0, 1, 0, done;\n}"
          : "=r"(done)
          : "r"(barrier), "r"(parity_)
          : "memory");
#else
    // The oldest of the groups that are open, one a stage.
    if (count_ == 2)
      wait_for_copies<1>();
    else if (count_ == 3)
      wait_for_copies<2>();
    else
      wait_for_copies<3>();
    __syncwarp();
#endif
    return stages_ + read_ * kStageBytes;
  }
  // All lanes have read it: the next fill() may take its place.
  __device__ void release() {
    __syncwarp();
    if (++read_ == count_) {
      read_ = 0;
      parity_ ^= 1;
    }
  }

 private:
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
  __device__ void copy(uint8_t* to, const uint8_t* from, int bytes, uint32_t barrier) const {
    asm volatile(
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint [%0], "
        "[%1], %2, [%3], %4;" ::"r"(shared_address(to)),
        "l"(from), "r"(bytes), "r"(barrier), "l"(policy_)
        : "memory");
  }
#endif

  uint8_t* stages_;
  int count_;
  uint32_t barriers_;
  int lane_;
  uint64_t policy_ = 0;
  int fill_ = 0;
  int read_ = 0;
  uint32_t parity_ = 0;
};

}  // namespace strake::cuda
