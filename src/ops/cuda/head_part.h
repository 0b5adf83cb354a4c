// Where heads stand, and how their elements turn. For device code.
#pragma once

#include <cstdint>

#include "ops/cuda/elements.h"
#include "ops/cuda/heads.h"

namespace strake::cuda {

// Rows, positions and slots are counted in 32 bits, in which division takes a third of the time.
struct Place {
  uint32_t sequence;
  uint32_t token;

  __device__ Place(const TokenRows& rows, int64_t row)
      : sequence(static_cast<uint32_t>(row) / static_cast<uint32_t>(rows.tokens)),
        token(static_cast<uint32_t>(row) - sequence * static_cast<uint32_t>(rows.tokens)) {}
  __device__ uint32_t position(const TokenRows& rows) const {
    return static_cast<uint32_t>(rows.first_positions[sequence]) + token;
  }
};

// Of a cache, the row of a head's position.
__device__ inline int64_t cached_row(int64_t slots, int64_t head, uint32_t position) {
  return head * slots + position % static_cast<uint32_t>(slots);
}

// Where a sequence's heads go.
struct HeadTarget {
  void* data;
  int64_t slots = 0;  // of a cache

  __device__ HeadTarget(const CachedSequence* caches, const HeadJob& job, uint32_t sequence)
      : data(job.to.data) {
    if (job.target == HeadsTo::kRows) return;
    const CachedSequence& cache = caches[sequence];
    data = (job.target == HeadsTo::kKeys ? cache.keys : cache.values).elements;
    slots = cache.slots;
  }
  // Of its elements, where a head of a row begins.
  __device__ int64_t begin(const HeadJob& job, int64_t row, int64_t head, uint32_t position) const {
    if (job.target == HeadsTo::kRows) return row * job.to.row_stride + head * job.to.head_stride;
    return cached_row(slots, head, position) * job.cache_width + job.cache_column;
  }
};

// How far a pair turns at a position.
struct Turn {
  float sine, cosine;

  __device__ Turn(const Rope& rope, uint32_t position, float frequency) {
    sincosf(static_cast<float>(position) * frequency, &sine, &cosine);
    cosine *= rope.magnitude;
    sine *= rope.magnitude;
  }
  // One product is rounded, the other is not, in every kernel.
  __device__ float first(float x, float y) const { return fmaf(x, cosine, -__fmul_rn(y, sine)); }
  __device__ float second(float x, float y) const { return fmaf(y, cosine, __fmul_rn(x, sine)); }
};

// The elements of a pair.
struct PairAt {
  int first, second;

  __device__ PairAt(const Rope& rope, int index) {
    const bool halves = rope.which == TurnedPairs::kHalves;
    first = halves ? index : 2 * index;
    second = halves ? index + static_cast<int>(rope.pairs) : 2 * index + 1;
  }
};

// A pair of a head that turns, or, from `rope.pairs` on, an element that does not. What it needs is
// asked for when it is made, and not waited for until it is put.
template <class In, class T>
struct HeadPart {
  bool turns;
  int first;
  int second;
  float frequency;
  In a;
  In b;

  HeadPart() = default;
  // `from[i]` is element i of the head.
  template <class From>
  __device__ HeadPart(const From& from, const Rope& rope, int index) {
    const auto pairs = static_cast<int>(rope.pairs);
    const PairAt pair(rope, index);
    turns = index < pairs;
    first = turns ? pair.first : index + pairs;
    second = turns ? pair.second : first;
    frequency = turns ? rope.frequencies[index] : 0.0f;
    a = from[first];
    b = from[second];
  }
  __device__ void put(T* to, const Rope& rope, uint32_t position) const {
    const float x = rounded<T>(to_float(a)), y = rounded<T>(to_float(b));
    if (!turns) {
      to[first] = from_float<T>(x);
      return;
    }
    const Turn turn(rope, position, frequency);
    to[first] = from_float<T>(turn.first(x, y));
    to[second] = from_float<T>(turn.second(x, y));
  }
};

}  // namespace strake::cuda
