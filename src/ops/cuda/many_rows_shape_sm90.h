// How the kernel of many_rows_kernel_sm90.h divides a multiprocessor's shared memory and registers.
#pragma once

#include <algorithm>

#include "ops/cuda/many_rows_parameters.h"

namespace strake::cuda {

inline constexpr int kProductWarps = 8;
inline constexpr int kProductThreads = 32 * kProductWarps;
inline constexpr int kManyRowsThreads = kProductThreads + 128;

// How a kernel for this many tokens divides shared memory. The ring of weights is each lane's own.
template <class Fragment, int kTokens>
struct ManyRowsShape {
  static constexpr int kStages = kTokens == 32 ? 8 : 4;
  static constexpr int kStageBytes = kTokens * kTileInputs * 2;
  static constexpr int kRegisters = kTokens / 2;  // of the sums, in each thread
  static constexpr int kLevelBytes = kRegisters * 4 * kProductThreads;
  // The sum on top of the stack stays in registers where two of them fit and shared memory is full.
  static constexpr bool kTopInRegisters = kTokens == 128;
  static constexpr bool kOneSum = kTokens > 128;
  static constexpr bool kDecodesAhead = kTokens >= 128;  // where registers suffice
  static constexpr int kSlotBytes = kProductWarps * Fragment::kSlotBytes;
  // Beside stages and levels of the stack of sums: two, or three for 64 tokens. With 128 tokens
  // the ring is deeper where no more than one level is there.
  static constexpr bool kTwoDepths = kTokens == 128;
  static constexpr int slots(int bytes) { return std::clamp(bytes / kSlotBytes, 2, 16); }
  static constexpr int kShallow = slots(kTokens <= 64    ? 40 * 1024
                                        : kTokens == 128 ? 35 * 1000
                                                         : 80 * 1024);
  static constexpr int kSlots = kTwoDepths ? slots(96 * 1024) : kShallow;

  static constexpr int kBarriersAt = kStages * kStageBytes;
  static_assert(2 * 8 * kStages <= 128);
  static constexpr int kRingAt = kBarriersAt + 128;
  static constexpr bool deep(int levels) { return kTwoDepths && levels < 2; }
  static constexpr int levels_at(int levels) {
    return kRingAt + (deep(levels) ? kSlots : kShallow) * kSlotBytes;
  }
  static constexpr int shared_bytes(int levels) { return levels_at(levels) + levels * kLevelBytes; }
};

// Registers of a thread: a block starts with equal shares, then those that multiply take more.
template <int kTokens>
struct ManyRowsRegisters {
  static constexpr int kBlocks = kTokens <= 64 ? 2 : 1;  // on a multiprocessor
  // What the block had is what it shares out: 384 times 80, or 168.
  static constexpr int kMultiply = kTokens <= 64 ? 104 : 240;
  static constexpr int kBring = 24;
};

}  // namespace strake::cuda
