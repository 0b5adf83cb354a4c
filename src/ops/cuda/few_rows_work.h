// Which weights the blocks and warps of few_rows_kernel.h multiply, and in which order. For device
// code.
#pragma once

#include <type_traits>

#include "ops/cuda/expert_visits.h"
#include "ops/cuda/few_rows_parameters.h"
#include "ops/cuda/weight_ring.h"

namespace strake::cuda {

template <class Type>
struct FewRowsShape {
  static constexpr PackedFormat kFormat = Type::kFormat;
  static constexpr int kPerBlock = kFormat.tiles_per_block();
  // Two tiles at a time wait for each other's instructions, not each for its own.
  static constexpr int kAtOnce = kFormat.coding == Coding::kDense ? 1 : 2;
  // Of affine scales: those of 16 bits may be float16 instead.
  static constexpr ScaleType kScale =
      kFormat.scaling == Scaling::kAffine32 ? ScaleType::kF32 : ScaleType::kBf16;
  using Ring = WeightRing<kMostStages, kFormat.scaling == Scaling::kNone ? RingScales::kNone
                                                                         : RingScales::kThere>;
};

// Of experts, the visit or group of an item, and its row tile there.
struct ExpertItem {
  int part;
  int row_tile;

  __device__ ExpertItem(const FewRowsParameters& p, int item)
      : part(p.by_row_tiles.quotient(item)), row_tile(item - part * p.row_tiles) {
    if (row_tile >= 0) return;
    // Dividends beyond what a divisor is right for have a quotient more by one.
    --part;
    row_tile += p.row_tiles;
  }
};

// Which of the matrices a row tile belongs to.
__device__ __forceinline__ int matrix_of(const FewRowsParameters& p, int row_tile) {
  int matrix = 0;  // mostly: a loop is skipped, where code without one would be gone through
#pragma unroll 1
  while (matrix + 1 < kMostJoined && row_tile >= p.matrices[matrix + 1].first_tile) ++matrix;
  return matrix;
}

// A leaf of a row tile of the matrices of some visits.
struct LeafUnit {
  int row_tile;  // of its matrix
  int tile;      // the leaf's first, and the one after it
  int end;
  int matrix = 0;
  int visit = 0;  // without experts there is one
  int visit_end = 1;
};

// A block's part: items (row tiles, of a visit or a group where there are experts) and a slice of
// the leaves.
template <Matrices kMatrices>
struct FewRowsWork {
  static constexpr bool kExperts = kMatrices != Matrices::kOne;
  static constexpr bool kMixes = kMatrices == Matrices::kMixed;

  const FewRowsParameters& p;
  const ExpertVisits* visits;
  const MixedColumn* mixed;
  int block;  // of those with its slice
  int first_leaf;
  int leaves;
  Divisor by_leaves;
  int first_item = 0;
  int end_item = 0;
  int first_place = 0;  // of experts' rows apart: the first in order that this block has

  __device__ FewRowsWork(const FewRowsParameters& parameters, const ExpertVisits* made,
                         const MixedColumn* of_mixture)
      : p(parameters), visits(made), mixed(of_mixture) {
    const auto index = static_cast<int>(blockIdx.x);
    block = p.by_slices.quotient(index);
    const int slice = index - block * p.slices;
    first_leaf = p.by_slices.quotient(slice * p.leaves.count);
    leaves = p.by_slices.quotient((slice + 1) * p.leaves.count) - first_leaf;
    by_leaves = p.by_leaves[leaves > p.least_leaves ? 1 : 0];
  }
  // Once visits are made: blocks of a slice have equally many items, or one more.
  __device__ void divide_items() {
    int each = p.block_items, more = p.blocks_with_more;
    if constexpr (kMatrices == Matrices::kApart) {
      const auto items = static_cast<unsigned>(p.row_tiles * visits->visits);
      const auto blocks = static_cast<unsigned>(p.blocks);
      each = static_cast<int>(items / blocks);
      more = static_cast<int>(items % blocks);
    }
    first_item = block * each + min(block, more);
    end_item = first_item + each + (block < more ? 1 : 0);
    if constexpr (kMatrices == Matrices::kApart)
      if (has_own_rows() && first_item < end_item)
        first_place = visits->begin[ExpertItem(p, first_item).part];
  }

  // Whether the block has the rows of x of its visits, in their order, and not all.
  __device__ bool has_own_rows() const {
    return kMatrices == Matrices::kApart && p.x_room < p.x_rows;
  }
  __device__ int x_rows() const {
    if (!has_own_rows()) return p.x_rows;
    return first_item < end_item ? visits->begin[ExpertItem(p, end_item - 1).part + 1] - first_place
                                 : 0;
  }
  // The row of x that the block has as such a row.
  __device__ int source_of(int row) const {
    if constexpr (kMatrices == Matrices::kApart)
      if (has_own_rows()) return visits->source[first_place + row];
    return row;
  }
  // Which of the block's rows is a visit's: there is one for each column, the last for those
  // beyond.
  __device__ int row_of(int visit, int column) const {
    const int place = visits->begin[visit] + min(column, visits->rows(visit) - 1);
    return has_own_rows() ? place - first_place : visits->source[place];
  }

  // Units of this block's items before that one.
  __device__ int units_before(int item) const { return (item - first_item) * leaves; }
};

// A warp's way through the units of a block: those of an item after those of the one before. Where
// it has the same leaf of each item, it looks again only where another matrix begins.
template <class Work, int kWarps>
class MatrixWalk {
 public:
  __device__ MatrixWalk(const Work& work, int warp) : work_(work), at_(warp) {}

  __device__ int at() const { return at_; }
  __device__ void next() { at_ += kWarps; }
  __device__ int item() const { return work_.by_leaves.quotient(at_); }  // of the block's
  __device__ int leaf() const { return at_ - item() * work_.leaves; }    // of the slice's
  // Whether the unit is as the one found last, but for its row tile.
  __device__ bool alike() const { return at_ < alike_until_; }
  __device__ const LeafUnit& find() {
    const FewRowsParameters& p = work_.p;
    const int leaf = work_.first_leaf + this->leaf();
    unit_.tile = p.leaves.tiles[leaf];
    unit_.end = p.leaves.tiles[leaf + 1];
    const int row_tile = work_.first_item + item();
    unit_.matrix = matrix_of(p, row_tile);
    unit_.row_tile = row_tile - p.matrices[unit_.matrix].first_tile;
    if (p.codes_apart == 0) return unit_;
    int end = work_.end_item;
    if (unit_.matrix + 1 < kMostJoined) end = min(end, p.matrices[unit_.matrix + 1].first_tile);
    alike_until_ = work_.units_before(end);
    return unit_;
  }
  // The unit found last.
  __device__ const LeafUnit& unit() const { return unit_; }

 private:
  const Work& work_;
  int at_;
  LeafUnit unit_ = {};
  int alike_until_ = 0;
};

// The same of experts, step by step: where an item is takes two divisions.
template <class Work, int kWarps>
class ExpertWalk {
 public:
  __device__ ExpertWalk(const Work& work, int warp)
      : work_(work),
        at_(warp),
        step_items_(work.by_leaves.quotient(kWarps)),
        step_leaves_(kWarps - step_items_ * work.leaves) {
    const int item = work.by_leaves.quotient(warp);
    leaf_ = warp - item * work.leaves;
    const ExpertItem first(work.p, work.first_item + item);
    part_ = first.part;
    row_tile_ = first.row_tile;
  }

  __device__ int at() const { return at_; }
  __device__ void next() {
    at_ += kWarps;
    leaf_ += step_leaves_;
    const int carry = leaf_ >= work_.leaves ? 1 : 0;
    leaf_ -= carry * work_.leaves;
    row_tile_ += step_items_ + carry;
    // No loop, of which the compiler would not know that all lanes leave it together.
    const int parts = work_.p.by_row_tiles.quotient(row_tile_);
    part_ += parts;
    row_tile_ -= parts * work_.p.row_tiles;
  }
  __device__ int item() const { return work_.by_leaves.quotient(at_); }
  __device__ int leaf() const { return leaf_; }
  // The next unit may be of another visit: it is looked for each time.
  __device__ bool alike() const { return false; }
  __device__ const LeafUnit& find() {
    const FewRowsParameters& p = work_.p;
    const int leaf = work_.first_leaf + leaf_;
    unit_.row_tile = row_tile_;
    unit_.tile = p.leaves.tiles[leaf];
    unit_.end = p.leaves.tiles[leaf + 1];
    if constexpr (Work::kMixes) {
      unit_.visit = work_.visits->group_begin[part_];
      unit_.visit_end = work_.visits->group_begin[part_ + 1];
    } else {
      unit_.visit = part_;
      unit_.visit_end = part_ + 1;
      unit_.matrix = matrix_of(p, row_tile_);
      unit_.row_tile -= p.matrices[unit_.matrix].first_tile;
    }
    return unit_;
  }
  __device__ const LeafUnit& unit() const { return unit_; }

 private:
  const Work& work_;
  int at_;
  int step_items_;  // from a unit to the next
  int step_leaves_;
  int leaf_;  // of the slice
  int part_;
  int row_tile_;
  LeafUnit unit_ = {};
};

template <class Work, int kWarps>
using UnitWalk =
    std::conditional_t<Work::kExperts, ExpertWalk<Work, kWarps>, MatrixWalk<Work, kWarps>>;

// The chunks of weights that a warp multiplies, in order.
template <class Shape, class Work, int kWarps>
class ChunkCursor {
 public:
  __device__ ChunkCursor(const Work& work, int warp)
      : work_(work), walk_(work, warp), units_(work.units_before(work.end_item)) {
    find_unit();
  }
  // Has the next one brought, if there is one.
  __device__ __forceinline__ void fill(typename Shape::Ring& ring) {
    if (left_ == 0) return ring.fill_nothing();
    const int tiles = min(work_.p.chunk_tiles, left_);
    const uint32_t codes = static_cast<uint32_t>(tiles) * Shape::kFormat.tile_bytes();
    const uint32_t scales =
        static_cast<uint32_t>(tiles) / Shape::kPerBlock * Shape::kFormat.scale_block_bytes();
    if constexpr (Work::kMixes)
      fill_of_visits(ring, codes, scales);
    else
      ring.fill(codes_, codes, scales_, scales);
    codes_ += codes;
    scales_ += scales;
    left_ -= tiles;
    if (left_ > 0) return;
    if constexpr (Work::kMixes) {
      unit_.visit += work_.p.visits_at_once;
      if (unit_.visit < unit_.visit_end) return begin_leaf();
    }
    walk_.next();
    if (walk_.alike()) return begin_alike();
    find_unit();
  }

 private:
  // The same part of the leaf, of each of the visits that a stage has.
  __device__ __forceinline__ void fill_of_visits(typename Shape::Ring& ring, uint32_t codes,
                                                 uint32_t scales) {
    const FewRowsMatrix& of = work_.p.matrices[0];
    const int32_t* const visited = work_.visits->matrix + unit_.visit;
    ring.fill_each(
        min(work_.p.visits_at_once, unit_.visit_end - unit_.visit),
        [&](int i) {
          const auto matrix = static_cast<uint32_t>(visited[i]);
          return RingSource{at_index(codes_, matrix, of.next_codes),
                            at_index(scales_, matrix, of.next_scales)};
        },
        codes, scales);
  }
  __device__ void begin_alike() {
    const FewRowsParameters& p = work_.p;
    left_ = walk_.unit().end - walk_.unit().tile;
    const auto tiles = static_cast<uint32_t>(left_);
    codes_ += p.codes_apart - tiles * Shape::kFormat.tile_bytes();
    scales_ += p.scales_apart - tiles / Shape::kPerBlock * Shape::kFormat.scale_block_bytes();
  }
  // Of a mixture, where the first matrix has it: visits are added to that.
  __device__ void begin_leaf() {
    const FewRowsParameters& p = work_.p;
    const int tile = unit_.tile;
    left_ = unit_.end - tile;
    const auto row_tile = static_cast<uint32_t>(unit_.row_tile);
    const FewRowsMatrix& of = p.matrices[unit_.matrix];
    codes_ = of.codes + uint64_t{row_tile} * p.row_codes +
             static_cast<uint32_t>(tile) * Shape::kFormat.tile_bytes();
    scales_ = of.scales + uint64_t{row_tile} * p.row_scales +
              static_cast<uint32_t>(tile) / Shape::kPerBlock * Shape::kFormat.scale_block_bytes();
    if constexpr (Work::kExperts && !Work::kMixes) {
      const auto matrix = static_cast<uint32_t>(work_.visits->matrix[unit_.visit]);
      codes_ = at_index(codes_, matrix, of.next_codes);
      scales_ = at_index(scales_, matrix, of.next_scales);
    }
  }
  // The next unit from where it stands on that has a visit.
  __device__ void find_unit() {
    for (; walk_.at() < units_; walk_.next()) {
      unit_ = walk_.find();
      if (unit_.visit < unit_.visit_end) return begin_leaf();
    }
  }

  const Work& work_;
  UnitWalk<Work, kWarps> walk_;
  int units_;  // of the block
  LeafUnit unit_ = {};
  int left_ = 0;  // tiles of the leaf; 0: nothing is left at all
  const uint8_t* codes_ = nullptr;
  const uint8_t* scales_ = nullptr;
};

}  // namespace strake::cuda
