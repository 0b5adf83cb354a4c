// A warp's stream of weights through a ring of stages in shared memory. For device code.
#pragma once

#include <cstdint>

#include "ops/cuda/few_rows_parameters.h"
#include "ops/cuda/ptx.h"

namespace strake::cuda {

// Where a run of codes is, and their scales.
struct RingSource {
  const uint8_t* codes;
  const uint8_t* scales;
};

// Whether codes have scales beside them.
enum class RingScales { kNone, kThere };

// Two to kMostStages stages. The warp that fills them reads them, so that no other has to wait.
// From sm_90 on the copy engine fills them. One stage is at hand at a time: it is filled and left,
// and when the ring comes back to it, waited for, read, filled again and left.
template <int kMostStages, RingScales kScales>
class WeightRing {
 public:
  static constexpr int kBarrierBytes = kMostStages * 8;

  // Memory for the stages and for barriers, of this warp.
  __device__ WeightRing(uint8_t* stages, RingShape shape, uint8_t* barriers, int lane)
      : stages_(stages), shape_(shape), barriers_(shared_address(barriers)), lane_(lane) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
    if (elected()) {
#pragma unroll
      for (int stage = 0; stage < kMostStages; ++stage)
        asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(barriers_ + 8 * stage)
                     : "memory");
      asm volatile("fence.mbarrier_init.release.cluster;\nfence.proxy.async.shared::cta;" ::
                       : "memory");
    }
    __syncwarp();
    asm("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy_));
#endif
  }

  // Of the stage at hand, which all lanes have read. Bytes are multiples of 16.
  __device__ __forceinline__ void fill(const uint8_t* codes, uint32_t code_bytes,
                                       const uint8_t* scales, uint32_t scale_bytes) {
    uint8_t* const to = stages_ + at_ * shape_.stage_bytes;
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
    if (elected()) {
      const uint32_t barrier = barriers_ + 8 * at_;
      asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier),
                   "r"(code_bytes + scale_bytes)
                   : "memory");
      copy(to, codes, code_bytes, barrier);
      if constexpr (kScales == RingScales::kThere)
        copy(to + shape_.scales_at, scales, scale_bytes, barrier);
    }
#else
    for (auto i = static_cast<uint32_t>(16 * lane_); i < code_bytes; i += 512)
      copy_async(to + i, codes + i, 16);
    if constexpr (kScales == RingScales::kThere)
      for (auto i = static_cast<uint32_t>(16 * lane_); i < scale_bytes; i += 512)
        copy_async(to + shape_.scales_at + i, scales + i, 16);
    commit_copies();
#endif
  }
  // The same with `count` runs of as many bytes each, which stand one after the other in the stage;
  // find(i) is the RingSource of each.
  template <class Find>
  __device__ __forceinline__ void fill_each(int count, const Find& find, uint32_t code_bytes,
                                            uint32_t scale_bytes) {
    uint8_t* to = stages_ + at_ * shape_.stage_bytes;
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
    if (elected()) {
      const uint32_t barrier = barriers_ + 8 * at_;
      uint8_t* to_scales = to + shape_.scales_at;
      asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier),
                   "r"(static_cast<uint32_t>(count) * (code_bytes + scale_bytes))
                   : "memory");
#pragma unroll 1
      for (int i = 0; i < count; ++i) {
        const RingSource from = find(i);
        copy(to, from.codes, code_bytes, barrier);
        to += code_bytes;
        if constexpr (kScales == RingScales::kThere) {
          copy(to_scales, from.scales, scale_bytes, barrier);
          to_scales += scale_bytes;
        }
      }
    }
#else
    uint8_t* to_scales = to + shape_.scales_at;
    for (int i = 0; i < count; ++i) {
      const RingSource from = find(i);
      for (auto at = static_cast<uint32_t>(16 * lane_); at < code_bytes; at += 512)
        copy_async(to + at, from.codes + at, 16);
      to += code_bytes;
      if constexpr (kScales == RingScales::kThere) {
        for (auto at = static_cast<uint32_t>(16 * lane_); at < scale_bytes; at += 512)
          copy_async(to_scales + at, from.scales + at, 16);
        to_scales += scale_bytes;
      }
    }
    commit_copies();
#endif
  }
  // Instead, where nothing is left to bring.
  __device__ __forceinline__ void fill_nothing() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
    commit_copies();
#endif
  }

  // The stage at hand, when what it was filled with is there.
  __device__ __forceinline__ const uint8_t* wait() {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
    const uint32_t barrier = barriers_ + 8 * at_;
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
    if (shape_.stages == 2)
      wait_for_copies<1>();
    else if (shape_.stages == 3)
      wait_for_copies<2>();
    else
      wait_for_copies<3>();
    __syncwarp();
#endif
    return stages_ + at_ * shape_.stage_bytes;
  }

  // The next stage is at hand.
  __device__ __forceinline__ void leave() {
    if (++at_ < shape_.stages) return;
    at_ = 0;
    parity_ ^= 1;
  }

 private:
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
  // In one lane: the compiler knows of elect.sync that it is one, and of a comparison it does not.
  __device__ __forceinline__ static bool elected() {
    uint32_t here;
    asm volatile(
        "{\n.reg .pred here;\n"
        "elect.sync _|here, 0xffffffff;\n"
        "selp.u32 %0, 1, 0, here;\n}"
        : "=r"(here)
        :
        : "memory");
    return here != 0;
  }
  __device__ __forceinline__ void copy(uint8_t* to, const uint8_t* from, uint32_t bytes,
                                       uint32_t barrier) const {
    asm volatile(
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint [%0], "
        "[%1], %2, [%3], %4;" ::"r"(shared_address(to)),
        "l"(from), "r"(bytes), "r"(barrier), "l"(policy_)
        : "memory");
  }
#endif

  uint8_t* stages_;
  RingShape shape_;
  uint32_t barriers_;
  int lane_;
  uint64_t policy_ = 0;
  int at_ = 0;
  uint32_t parity_ = 1;  // of the round: the first only fills
};

}  // namespace strake::cuda
