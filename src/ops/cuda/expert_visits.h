// The order in which a block goes through experts: each one's rows together, so that its codes are
// read once. For device code.
#pragma once

#include <cstdint>

#include "ops/cuda/few_rows_parameters.h"

namespace strake::cuda {

// What a visit has for a token of a mixture: a row of x, and what its product is multiplied with.
struct alignas(kMixedColumnBytes) MixedColumn {
  static constexpr uint32_t kAbsent = uint32_t{1} << 31;

  uint32_t row;  // kAbsent: none
  float factor;
};

// A visit multiplies a matrix with some rows. Rows stand by ascending matrix, then in their order.
struct ExpertVisits {
  int visits;
  int group_begin[ExpertRows::kMaxGroups + 1];  // the first visit of a mixture's group
  int32_t matrix[ExpertRows::kMost];            // of a visit
  uint16_t begin[ExpertRows::kMost + 1];        // of a visit, in the arrays below
  uint16_t row[ExpertRows::kMost];              // before they were sorted
  uint16_t source[ExpertRows::kMost];

  __device__ int rows(int visit) const { return begin[visit + 1] - begin[visit]; }

  // All threads of a block, at least as many as rows. A visit has `columns` rows at most; of a
  // mixture a column for each token, in `mixed`. Ends with a barrier.
  __device__ void make(const ExpertRows& rows, int columns, MixedColumn* mixed) {
    constexpr uint32_t kOutside = ~uint32_t{0};
    const int i = static_cast<int>(threadIdx.x);
    const bool mixes = rows.tokens > 0;
    const bool mine = i < rows.rows;
    // Until the sorted arrays are written: `matrix` has sort keys, `begin` has tokens.
    uint32_t key = kOutside;
    int target = 0, from = i;
    float factor = 1.0f;
    if (mine) {
      // From the second cache: this kernel may have started before those ended that wrote them.
      const int32_t found = __ldcg(rows.matrix + i) - rows.first_matrix;
      if (mixes) {
        target = __ldcg(rows.token + i);
        factor = __ldcg(rows.factor + i);
      }
      if (rows.source != nullptr) from = __ldcg(rows.source + i);
      if (found >= 0 && found < rows.matrices) key = static_cast<uint32_t>(found) << 8;
      matrix[i] = static_cast<int32_t>(key);
      begin[i] = static_cast<uint16_t>(target);
    }
    if (mixes)
      for (int at = i; at < rows.rows * columns; at += static_cast<int>(blockDim.x))
        mixed[at] = {MixedColumn::kAbsent, 0.0f};
    __syncthreads();
    if (mixes) {
      // A token that chooses a matrix again does so in another visit.
      int repeated = 0;
      if (mine && key != kOutside)
        for (int j = 0; j < i; ++j)
          repeated += static_cast<uint32_t>(matrix[j]) == key && begin[j] == target;
      if (__syncthreads_or(repeated) != 0) {
        if (mine && key != kOutside) matrix[i] = static_cast<int32_t>(key += repeated);
        __syncthreads();
      }
    }
    int less = 0, equal = 0, there = 0;
    if (mine)
      for (int j = 0; j < rows.rows; ++j) {
        const auto other = static_cast<uint32_t>(matrix[j]);
        less += other < key;
        equal += other == key && j < i;
        there += other != kOutside;
      }
    const int at = less + equal;
    const bool placed = mine && key != kOutside;
    const bool begins = placed && equal % columns == 0;
    __syncthreads();
    if (placed) {
      row[at] = static_cast<uint16_t>(i);
      source[at] = static_cast<uint16_t>(from);
      matrix[at] = begins;
    }
    __syncthreads();
    int visit = begins ? 0 : -1;
    if (placed)
      for (int j = 0; j < at; ++j) visit += matrix[j];
    __syncthreads();
    if (begins) {
      matrix[visit] = static_cast<int32_t>(key >> 8);
      begin[visit] = static_cast<uint16_t>(at);
    }
    if (placed && mixes) mixed[visit * columns + target] = {static_cast<uint32_t>(from), factor};
    if (placed && at == there - 1) {
      visits = visit + 1;
      begin[visits] = static_cast<uint16_t>(there);
    }
    if (i == 0 && there == 0) visits = 0;
    __syncthreads();
    if (i <= rows.groups && mixes) {
      int before = 0;
      for (int j = 0; j < visits; ++j) before += matrix[j] < rows.group_cuts[i];
      group_begin[i] = before;
    }
    __syncthreads();
  }
};
static_assert(sizeof(ExpertVisits) <= kExpertVisitsBytes);
static_assert(sizeof(MixedColumn) == kMixedColumnBytes);

}  // namespace strake::cuda
