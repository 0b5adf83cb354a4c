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
  for (RowElements chunk(work.x_rows(), tiles * 8); chunk.more(); chunk.next()) {
    const bool there = chunk.at * 8 < inputs;
    copy_async(shared + p.x_at + chunk.row * p.x_row_bytes + chunk.at * 16,
               x + work.source_of(chunk.row) * p.x_stride + first + (there ? chunk.at * 8 : 0),
               there ? 16 : 0);
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
    for (RowElements element(work.x_rows(), tiles * kTileInputs); element.more(); element.next()) {
      const int row = element.row, at = element.at;
      int leaf = work.first_leaf;
      while (first_tile + at / kTileInputs >= p.leaves.tiles[leaf + 1]) ++leaf;
      const int input =
          p.leaves.cuts[leaf] + at - (p.leaves.tiles[leaf] - first_tile) * kTileInputs;
      const bool there = input < p.leaves.cuts[leaf + 1];
      const uint16_t bits = there ? x[work.source_of(row) * p.x_stride + input] : uint16_t{0};
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
    const int chunks = tiles * 8, rows = work.x_rows() * p.x_halves;
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

// What a leaf's tiles are multiplied with, by one warp.
template <class Type, class Work, int kOctets>
struct LeafProduct {
  using Shape = FewRowsShape<Type>;

  const FewRowsParameters& p;
  const float* group_sums;
  int lane;
  LaneColumns<kOctets> columns;
  LeafSums<Type, kOctets> sums;
  int visit = -1;  // whose columns they are, of experts' rows apart

  // Tiles [tile, end), counted from the slice's first, whose codes and scales are at hand: leaves
  // what is behind them there.
  __device__ __forceinline__ void add(int tile, int end, const uint8_t*& codes,
                                      const uint8_t*& scales) {
    // A branch of the chunk, not of each group.
    if (Shape::kFormat.scaling == Scaling::kAffine16 && p.f16_scales != 0)
      add_as<ScaleType::kF16>(tile, end, codes, scales);
    else
      add_as<Shape::kScale>(tile, end, codes, scales);
  }

 private:
  template <ScaleType kScale>
  __device__ __forceinline__ void add_as(int tile, int end, const uint8_t*& codes,
                                         const uint8_t*& scales) {
    constexpr PackedFormat kFormat = Type::kFormat;
    constexpr int kAtOnce = Shape::kAtOnce;
    const auto add_some = [&]<int kTiles>() {
      sums.template add_tiles<Work, kScale, kTiles>(
          p, codes, scales, columns, tile * (kTileInputs * 2),
          group_sums +
              tile / Shape::kPerBlock * kFormat.groups_per_block() * floats_of_group<Type>(p),
          lane);
      tile += kTiles;
      codes += kTiles * kFormat.tile_bytes();
      scales += kTiles / Shape::kPerBlock * kFormat.scale_block_bytes();
    };
#pragma unroll 1
    while (tile + kAtOnce <= end) add_some.template operator()<kAtOnce>();
    if constexpr (kAtOnce > Shape::kPerBlock)
      if (tile < end) add_some.template operator()<1>();
  }
};

// Multiplies a unit of one matrix, or of the visit of experts whose rows stay apart. Leaves its
// sums in the product's.
template <class Product, class Work, class Ring, class Cursor>
__device__ __forceinline__ void multiply_unit(const Work& work, const LeafUnit& unit, Ring& ring,
                                              Cursor& cursor, Product& product, uint8_t* shared) {
  const FewRowsParameters& p = work.p;
  const int first_tile = p.leaves.tiles[work.first_leaf];
  if constexpr (Work::kExperts)
    if (product.visit != unit.visit) {
      product.visit = unit.visit;
      product.columns.set(work, unit.visit, product.lane, shared_address(shared));
    }
  product.sums.clear();
  int tile = unit.tile - first_tile;
  const int end = unit.end - first_tile;
#pragma unroll 1
  while (tile < end) {
    const uint8_t* codes = ring.wait();
    const uint8_t* scales = codes + p.ring.scales_at;
    const int chunk_end = min(tile + p.chunk_tiles, end);
    product.add(tile, chunk_end, codes, scales);
    tile = chunk_end;
    __syncwarp();
    cursor.fill(ring);
    ring.leave();
  }
  end_leaf(p, p.matrices[unit.matrix].factor, product.sums.sum);
}

// The same of a mixture, over its visits in order, to `mixed`.
template <int kOctets, class Product, class Work, class Ring, class Cursor>
__device__ __forceinline__ void mix_unit(const Work& work, const LeafUnit& unit, Ring& ring,
                                         Cursor& cursor, Product& product, uint8_t* shared,
                                         MixedSums<kOctets>& mixed) {
  const FewRowsParameters& p = work.p;
  const int first_tile = p.leaves.tiles[work.first_leaf];
  const int begin = unit.tile - first_tile;
  const int end = unit.end - first_tile;
  const float factor = p.matrices[0].factor;
  mixed = {};
  product.sums.clear();
#pragma unroll 1
  for (int first = unit.visit; first < unit.visit_end; first += p.visits_at_once) {
    const int last = min(first + p.visits_at_once, unit.visit_end);
    int tile = begin;
    do {
      const uint8_t* codes = ring.wait();
      const uint8_t* scales = codes + p.ring.scales_at;
      const int chunk_end = min(tile + p.chunk_tiles, end);
#pragma unroll 1
      for (int visit = first; visit < last; ++visit) {
        LaneTokens<kOctets> tokens;
        product.columns.set_tokens(p, work.mixed + visit * (8 * kOctets), product.lane,
                                   shared_address(shared), tokens);
        product.add(tile, chunk_end, codes, scales);
        if (chunk_end < end) continue;
        end_leaf(p, factor, product.sums.sum);
        mixed.add(tokens, product.sums.sum);
        product.sums.clear();
      }
      tile = chunk_end;
      __syncwarp();
      cursor.fill(ring);
      ring.leave();
    } while (tile < end);
  }
}

template <class Type, int kOctets, Matrices kMatrices, int kWarps>
__global__ void __launch_bounds__(kWarps* kLanes, 1)
    few_rows_kernel(const __grid_constant__ FewRowsParameters p) {
  using Shape = FewRowsShape<Type>;
  using Ring = typename Shape::Ring;
  using Work = FewRowsWork<kMatrices>;
  using Window = SumWindow<Work>;
  uint8_t* const shared = dynamic_shared();
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
  // The compiler is to know that it is the same in all lanes.
  const int warp = __shfl_sync(~0u, static_cast<int>(threadIdx.x) / kLanes, 0);
  auto* const visits = reinterpret_cast<ExpertVisits*>(shared + p.visits_at);
  auto* const mixed = reinterpret_cast<MixedColumn*>(shared + p.mixed_at);
  Work work(p, visits, mixed);
  if constexpr (Work::kExperts) {
    if (p.experts.known == 0) wait_for_predecessor();
    visits->make(p.experts, Work::kMixes ? 8 * kOctets : p.visit_columns, mixed);
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
      // Who follows may rely on all that came before this kernel: see ExpertRows::known.
      begin_after_all();
      ask_for_activations(work, shared);
    }
    cursor.fill(ring);
    ring.leave();
  }
  Window window(work, shared);
  bring_activations<Type>(work, shared);

  const int size = p.columns * kTileRows;
  LeafProduct<Type, Work, kOctets> product{
      p, reinterpret_cast<const float*>(shared + p.group_sums_at), lane, {}, {}};
  if constexpr (!Work::kExperts) product.columns.set(work, 0, lane, shared_address(shared));
  MixedSums<kOctets> mixed_sums;  // of a mixture's unit: others' are the product's
  const auto store = [&](float* to) {
    if constexpr (Work::kMixes)
      store_sums(p, mixed_sums.sum, to);
    else
      store_sums(p, product.sums.sum, to);
  };
  UnitWalk<Work, kWarps> walk(work, warp);
  float* const sums = reinterpret_cast<float*>(shared + p.sums_at);
  const int units = work.units_before(work.end_item);
  const bool in_window = p.window != 0;
#pragma unroll 1
  for (;; walk.next()) {
    const bool more = walk.at() < units;
    if (!more && !in_window) break;
    if (more) {
      if (!walk.alike()) walk.find();
      if constexpr (Work::kMixes)
        mix_unit(work, walk.unit(), ring, cursor, product, shared, mixed_sums);
      else
        multiply_unit(work, walk.unit(), ring, cursor, product, shared);
    }
    if (in_window) {
      // Inlined once, also for the end: with copies of it registers would not do.
      window.settle(more ? walk.item() : Window::kNone,
                    [&] { store(window.place(walk.item(), walk.leaf())); });
      if (!more) return;
    } else {
      store(sums + walk.at() * size);
    }
  }
  __syncthreads();
  finish_items(work, sums);
}

}  // namespace strake::cuda
