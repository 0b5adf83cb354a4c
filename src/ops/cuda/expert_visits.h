// The order in which a block goes through experts: each one's rows together, so that its codes are
// read once. For device code.
#pragma once

#include <cstdint>

#include "ops/cuda/few_rows_parameters.h"

namespace strake::cuda {

// A visit multiplies a matrix with some rows. Rows stand by ascending matrix, then in their order.
struct ExpertVisits {
  int visits;
  int group_begin[ExpertRows::kMaxGroups + 1];  // the first visit of a mixture's group
  int32_t matrix[ExpertRows::kMost];            // of a visit
  uint16_t begin[ExpertRows::kMost + 1];        // of a visit, in the arrays below
  uint16_t row[ExpertRows::kMost];              // before they were sorted
  uint16_t source[ExpertRows::kMost];
  uint16_t token[ExpertRows::kMost];
  float factor[ExpertRows::kMost];

  __device__ int rows(int visit) const { return begin[visit + 1] - begin[visit]; }

  // All threads of a block, at least as many as rows. A visit has `columns` rows at most, and no
  // token twice. Ends with a barrier.
  __device__ void make(const ExpertRows& rows, int columns) {
    constexpr uint32_t kOutside = ~uint32_t{0};
    const int i = static_cast<int>(threadIdx.x);
    const bool mine = i < rows.rows;
    // Until the sorted arrays are written: `matrix` has sort keys, `begin` has tokens.
    uint32_t key = kOutside;
    int target = 0;
    if (mine) {
      const int32_t found = rows.matrix[i] - rows.first_matrix;
      if (found >= 0 && found < rows.matrices) key = static_cast<uint32_t>(found) << 8;
      if (rows.tokens > 0) target = rows.token[i];
      matrix[i] = static_cast<int32_t>(key);
      begin[i] = static_cast<uint16_t>(target);
    }
    __syncthreads();
    int repeated = 0;
    if (mine && rows.tokens > 0 && key != kOutside)
      for (int j = 0; j < i; ++j)
        repeated += static_cast<uint32_t>(matrix[j]) == key && begin[j] == target;
    __syncthreads();
    if (mine && key != kOutside) matrix[i] = static_cast<int32_t>(key += repeated);
    __syncthreads();
    int less = 0, equal = 0, there = 0;
    if (mine)
      for (int j = 0; j < rows.rows; ++j) {
        const auto other = static_cast<uint32_t>(matrix[j]);
        less += other < key;
        equal += other == key && j < i;
        there += other != kOutside;
      }
    const int at = less + equal;
    __syncthreads();
    if (mine && key != kOutside) {
      row[at] = static_cast<uint16_t>(i);
      source[at] = static_cast<uint16_t>(rows.source != nullptr ? rows.source[i] : i);
      token[at] = static_cast<uint16_t>(target);
      factor[at] = rows.tokens > 0 ? rows.factor[i] : 1.0f;
      matrix[at] = equal % columns == 0;  // whether a visit begins
    }
    __syncthreads();
    int visit = 0;
    const bool begins = mine && key != kOutside && equal % columns == 0;
    if (mine)
      for (int j = 0; j < (begins ? at : there); ++j) visit += matrix[j];
    __syncthreads();
    if (begins) {
      matrix[visit] = static_cast<int32_t>(key >> 8);
      begin[visit] = static_cast<uint16_t>(at);
    }
    // A row that begins no visit has counted them all; the last in order may begin one.
    const bool last = mine && key != kOutside && at == there - 1;
    if (last) {
      visits = begins ? visit + 1 : visit;
      begin[visits] = static_cast<uint16_t>(there);
    }
    if (i == 0 && there == 0) visits = 0;
    __syncthreads();
    if (i <= rows.groups && rows.tokens > 0) {
      int before = 0;
      while (before < visits && matrix[before] < rows.group_cuts[i]) ++before;
      group_begin[i] = before;
    }
    __syncthreads();
  }
};
static_assert(sizeof(ExpertVisits) <= kExpertVisitsBytes);

}  // namespace strake::cuda
