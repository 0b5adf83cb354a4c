// What a block of few_rows_kernel.h does: it brings activations, multiplies and combines sums. For
// device code.
#pragma once

#include "ops/cuda/few_rows_kernel.h"
#include "ops/cuda/few_rows_window.h"

namespace strake::cuda {

// A thread's way through rows of `width` elements, of which the threads of a block take turns.
struct RowElements {
  int rows;
  int width;
  int row = 0;
  int at = static_cast<int>(threadIdx.x);

  __device__ RowElements(int of_rows, int of_width) : rows(of_rows), width(of_width) { settle(); }
  __device__ bool more() const { return row < rows; }
  __device__ void next() {
    at += static_cast<int>(blockDim.x);
    settle();
  }

 private:
  __device__ void settle() {
#pragma unroll 1
    for (; at >= width && row < rows; ++row) at -= width;
  }
};

// Asks for activations of the slice's leaves, where they stand in shared memory as in x.
template <class Work>
__device__ void ask_for_activations(const Work& work, uint8_t* shared) {
  const FewRowsParameters& p = work.p;
  if (p.x_whole == 0) return;
  const int first_tile = p.leaves.tiles[work.first_leaf];
  const int tiles = p.leaves.tiles[work.first_leaf + work.leaves] - first_tile;
  const int first = p.leaves.cuts[work.first_leaf];
  const int inputs = p.leaves.cuts[work.first_leaf + work.leaves] - first;
  const auto* const x = static_cast<const uint16_t*>(p.x);
#pragma unroll 1
  for (RowElements chunk(p.x_rows, tiles * 8); chunk.more(); chunk.next()) {
    const bool there = chunk.at * 8 < inputs;
    copy_async(shared + p.x_at + chunk.row * p.x_row_bytes + chunk.at * 16,
               x + chunk.row * p.x_stride + first + (there ? chunk.at * 8 : 0), there ? 16 : 0);
  }
  commit_copies();
}

// Activations of the slice's leaves to shared memory, each leaf padded with zeros to whole tiles.
// Ends with a barrier.
template <class Type, class Work>
__device__ void bring_activations(const Work& work, uint8_t* shared) {
  const FewRowsParameters& p = work.p;
  const int first_tile = p.leaves.tiles[work.first_leaf];
  const int tiles = p.leaves.tiles[work.first_leaf + work.leaves] - first_tile;
  if (p.x_whole != 0) {
    wait_for_copies<0>();
  } else {
    const auto* const x = static_cast<const uint16_t*>(p.x);
#pragma unroll 1
    for (RowElements element(p.x_rows, tiles * kTileInputs); element.more(); element.next()) {
      const int row = element.row, at = element.at;
      int leaf = work.first_leaf;
      while (first_tile + at / kTileInputs >= p.leaves.tiles[leaf + 1]) ++leaf;
      const int input =
          p.leaves.cuts[leaf] + at - (p.leaves.tiles[leaf] - first_tile) * kTileInputs;
      const bool there = input < p.leaves.cuts[leaf + 1];
      const uint16_t bits = there ? x[row * p.x_stride + input] : uint16_t{0};
      auto* const to = reinterpret_cast<uint16_t*>(shared + p.x_at + row * p.x_row_bytes) + at;
      if (p.x_halves == 1) {
        *to = bits;
      } else {
        // 11 bits of mantissa are 8 and the rest.
        const float value = __half2float(__ushort_as_half(bits));
        const __nv_bfloat16 high = __float2bfloat16_rn(value);
        const float rest = isfinite(value) ? value - __bfloat162float(high) : 0.0f;
        *to = __bfloat16_as_ushort(high);
        to[p.x_rows * p.x_row_bytes / 2] = __bfloat16_as_ushort(__float2bfloat16_rn(rest));
      }
    }
  }
  __syncthreads();
  if constexpr (Type::kAffine) {
    constexpr int kChunks = Type::kFormat.group / 8;  // of a group, a lane each
    const int chunks = tiles * 8, rows = p.x_rows * p.x_halves;
    const auto threads = static_cast<int>(blockDim.x);
    RowElements next(rows, chunks);
    // All lanes of a warp or none.
#pragma unroll 1
    for (int i = static_cast<int>(threadIdx.x) / kLanes * kLanes; i < rows * chunks; i += threads) {
      const bool there = next.more();
      const int row = there ? next.row : 0, chunk = there ? next.at : 0;
      next.next();
      const auto eight =
          *reinterpret_cast<const uint4*>(shared + p.x_at + row * p.x_row_bytes + chunk * 16);
      float sum = 0.0f;
      for (const uint32_t pair : {eight.x, eight.y, eight.z, eight.w})
        sum = sum + __uint_as_float(pair << 16) + __uint_as_float(pair & 0xffff0000u);
      // Registers 0 and 2 have the first of 16 inputs and the ninth.
      using Codes = LaneCodes<Type::kFormat.coding>;
      float shift = -static_cast<float>(Codes::shift(chunk % 2 * 2)) * sum;
#pragma unroll
      for (int other = 1; other < kChunks; other *= 2) {
        sum += __shfl_xor_sync(~0u, sum, other);
        if constexpr (Type::kShiftSums) shift += __shfl_xor_sync(~0u, shift, other);
      }
      if (there && chunk % kChunks == 0) {
        float* const to = reinterpret_cast<float*>(shared + p.group_sums_at) +
                          chunk / kChunks * floats_of_group<Type>(p) + sum_column(p, row);
        *to = sum;
        if constexpr (Type::kShiftSums) to[p.group_sums] = shift;
      }
    }
    __syncthreads();
  }
}

template <class Type, int kOctets, Matrices kMatrices, int kWarps>
__global__ void __launch_bounds__(kWarps* kLanes, 1)
    few_rows_kernel(const __grid_constant__ FewRowsParameters p) {
  using Shape = FewRowsShape<Type>;
  using Ring = typename Shape::Ring;
  using Work = FewRowsWork<kMatrices>;
  using Window = SumWindow<Work>;
  constexpr PackedFormat kFormat = Type::kFormat;
  uint8_t* const shared = dynamic_shared();
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
  // The compiler is to know that it is the same in all lanes.
  const int warp = __shfl_sync(~0u, static_cast<int>(threadIdx.x) / kLanes, 0);
  let_successor_start();
  auto* const visits = reinterpret_cast<ExpertVisits*>(shared + p.visits_at);
  Work work(p, visits);
  if constexpr (Work::kExperts) {
    wait_for_predecessor();
    visits->make(p.experts, p.x_halves == 2 ? 8 : 8 * kOctets);
  }
  work.divide_items();
  Ring ring(shared + p.rings_at + warp * p.ring.stages * p.ring.stage_bytes, p.ring,
            shared + warp * Ring::kBarrierBytes, lane);
  ChunkCursor<Shape, Work, kWarps> cursor(work, warp);
  // Half the ring is what memory brings while a small kernel before this one ends. More would be in
  // the way of that one's results, and of activations.
#pragma unroll 1
  for (int stage = 0; stage < p.ring.stages; ++stage) {
    if (stage == p.ring.stages / 2) {
      if constexpr (!Work::kExperts) wait_for_predecessor();
      ask_for_activations(work, shared);
    }
    cursor.fill(ring);
    ring.leave();
  }
  Window window(work, shared);
  bring_activations<Type>(work, shared);

  const int first_tile = p.leaves.tiles[work.first_leaf];
  const int size = p.columns * kTileRows;
  const auto* const group_sums = reinterpret_cast<const float*>(shared + p.group_sums_at);
  LaneColumns<kOctets> columns;
  if constexpr (!Work::kExperts) columns.set(work, 0, lane, shared_address(shared));
  LeafSums<Type, kOctets> leaf;
  UnitWalk<Work, kWarps> walk(work, warp);
  float* const sums = reinterpret_cast<float*>(shared + p.sums_at);
  const int units = work.units_before(work.end_item);
  const bool in_window = p.window != 0;
#pragma unroll 1
  for (;; walk.next()) {
    const bool more = walk.at() < units;
    if (!more && !in_window) break;
    float* to = nullptr;
    if (more) {
      if (!walk.alike()) walk.find();
      const LeafUnit& unit = walk.unit();
      to = in_window ? window.place(walk.item(), walk.leaf()) : sums + walk.at() * size;
      if (work.mixes()) {
        for (int i = lane; i < size; i += kLanes) to[i] = 0.0f;
        __syncwarp();
      }
#pragma unroll 1
      for (int visit = unit.visit; visit < unit.visit_end; ++visit) {
        if constexpr (Work::kExperts) columns.set(work, visit, lane, shared_address(shared));
        leaf.clear();
        int tile = unit.tile - first_tile;
        const int end = unit.end - first_tile;
#pragma unroll 1
        while (tile < end) {
          const uint8_t* codes = ring.wait();
          const uint8_t* scales = codes + p.ring.scales_at;
          const int chunk_end = min(tile + p.chunk_tiles, end);
          const auto add_chunk = [&]<ScaleType kScale>() {
            const auto add = [&]<int kTiles>() {
              leaf.template add_tiles<Work, kScale, kTiles>(
                  p, codes, scales, columns, tile * (kTileInputs * 2),
                  group_sums + tile / Shape::kPerBlock * kFormat.groups_per_block() *
                                   floats_of_group<Type>(p),
                  lane);
              tile += kTiles;
            };
            constexpr int kAtOnce = Shape::kAtOnce;
#pragma unroll 1
            while (tile + kAtOnce <= chunk_end) {
              add.template operator()<kAtOnce>();
              codes += kAtOnce * kFormat.tile_bytes();
              scales += kAtOnce / Shape::kPerBlock * kFormat.scale_block_bytes();
            }
            if constexpr (kAtOnce > Shape::kPerBlock)
              if (tile < chunk_end) add.template operator()<1>();
          };
          // A branch of the chunk, not of each group.
          if (kFormat.scaling == Scaling::kAffine16 && p.f16_scales != 0)
            add_chunk.template operator()<ScaleType::kF16>();
          else
            add_chunk.template operator()<Shape::kScale>();
          __syncwarp();
          cursor.fill(ring);
          ring.leave();
        }
        if (in_window && !work.mixes()) break;  // there is one visit, whose sums may have to wait
        store_sums<kOctets>(work, unit, visit, leaf.sum, to);
        __syncwarp();
      }
    }
    if (!in_window) continue;
    int next = more ? Window::kNone : Window::kAll;
    if (work.mixes() && walk.at() + kWarps < units)
      next = work.by_leaves.quotient(walk.at() + kWarps);
    window.settle(more ? walk.item() : Window::kNone, next, [&] {
      const LeafUnit& unit = walk.unit();
      if (!work.mixes()) store_sums<kOctets>(work, unit, unit.visit, leaf.sum, to);
    });
    if (!more) return;
  }
  __syncthreads();
  finish_items(work, sums);
}

}  // namespace strake::cuda
