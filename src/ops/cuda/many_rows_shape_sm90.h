// How the kernel of many_rows_kernel_sm90.h divides a multiprocessor's shared memory and registers.
#pragma once

#include <algorithm>

#include "ops/cuda/many_rows_parameters.h"

namespace strake::cuda {

inline constexpr int kProductWarps = 8;
inline constexpr int kProductThreads = 32 * kProductWarps;
inline constexpr int kBringWarps = 4;
inline constexpr int kBringThreads = 32 * kBringWarps;
inline constexpr int kManyRowsThreads = kProductThreads + kBringThreads;

// How a kernel for this many tokens divides shared memory: stages' activations, stages' weights,
// barriers, levels of the stack of sums.
template <class Fragment, int kTokens>
struct ManyRowsShape {
  static constexpr int kActivationBytes = kTokens * kTileInputs * 2;  // of a stage
  static constexpr int kWeightBytes = kProductWarps * Fragment::kSlotBytes;
  static constexpr int kStageBytes = kActivationBytes + kWeightBytes;
  static constexpr int kRegisters = kTokens / 2;  // of the sums, in each thread
  static constexpr int kLevelBytes = kRegisters * 4 * kProductThreads;
  // Two leaves' sums stay in registers where they fit and shared memory is full.
  static constexpr bool kPairs = kTokens == 128;
  static constexpr bool kOneSum = kTokens > 128;

  // Beside two levels, or three for 64 tokens; two blocks of up to 64 tokens have room with one.
  // With 128 tokens stages are more where no more than one level is there.
  static constexpr bool kTwoDepths = kTokens == 128;
  static constexpr int stages_in(int bytes) { return std::clamp(bytes / kStageBytes, 2, 8); }
  static constexpr int kShallow = stages_in(kTokens <= 64    ? 72 * 1024
                                            : kTokens == 128 ? 101120
                                                             : 225 * 1024);
  static constexpr int kDeep = kTwoDepths ? stages_in(160 * 1024) : kShallow;
  static constexpr int stages(int levels) { return kTwoDepths && levels < 2 ? kDeep : kShallow; }

  // Of a block's shared memory from the first byte on; with so many stages.
  static constexpr int weights_at(int stages) { return stages * kActivationBytes; }
  static constexpr int barriers_at(int stages) { return stages * kStageBytes; }
  static constexpr int levels_at(int stages) { return barriers_at(stages) + 128; }
  static constexpr int shared_bytes(int levels) {
    return levels_at(stages(levels)) + levels * kLevelBytes;
  }
  // A piece's sums lie where the stages were.
  static_assert(kLevelBytes <= kShallow * kStageBytes);
};

// Registers of a thread: a block starts with equal shares, then those that multiply take more.
template <int kTokens>
struct ManyRowsRegisters {
  static constexpr int kBlocks = kTokens <= 64 ? 2 : 1;  // on a multiprocessor
  // What the block had is what it shares out: 384 times 80, or 168.
  static constexpr int kMultiply = kTokens <= 64 ? 104 : 232;
  static constexpr int kBring = kTokens <= 64 ? 32 : 40;
};

}  // namespace strake::cuda
