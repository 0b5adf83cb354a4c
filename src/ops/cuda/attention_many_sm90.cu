// Many query rows with a warpgroup's products (sm_90a).
//
// A block takes tile after tile of 128 rows of a cached head's queries, and goes through the
// positions that they see 128 at a time. Of its three warpgroups one brings queries, keys and
// values, the others have 64 rows each. While one of those weighs its scores, the tensor cores sum
// its values of the positions before; and the two start products in turn, so that after these they
// have the other's.
#include <algorithm>

#include "ops/cuda/async_sm90.h"
#include "ops/cuda/attention_call.h"
#include "ops/cuda/launch.h"
#include "ops/cuda/ptx.h"
#include "ops/cuda/wgmma_sm90.h"

namespace strake::cuda {
namespace {

constexpr int kGroup = 128;  // a warpgroup
constexpr int kGroupWarps = kGroup / 32;
constexpr int kProductGroups = 2;  // the first ones; then the one that brings
constexpr int kThreads = (kProductGroups + 1) * kGroup;
constexpr int kGroupRows = 64;
constexpr int kTileRows = kProductGroups * kGroupRows;  // of queries, and as many positions
constexpr int kSlice = kTileRows * 64;                  // elements: 64 columns of a tile
constexpr uint32_t kSliceBytes = kSlice * 2;
constexpr int kTiles = 3;  // of keys, and of values

// Registers of a thread: together what the block starts with, 168 each.
constexpr int kProductRegisters = 232;
constexpr int kBringRegisters = 40;
static_assert(kProductGroups * kProductRegisters + kBringRegisters == 3 * 168);

template <class T, int kWidth>
struct Room {
  using Tile = T[kWidth / 64 * kSlice];
  Tile queries;
  Tile keys[kTiles];
  Tile values[kTiles];
};

// When places of a ring are full, and when all warps that multiply have read them. Tiles are
// counted over all that a block does.
template <int kPlaces>
struct Ring {
  uint64_t full[kPlaces];
  uint64_t empty[kPlaces];

  __device__ void init() {
    for (int place = 0; place < kPlaces; ++place) {
      barrier_init(shared_address(&full[place]), kGroup);
      barrier_init(shared_address(&empty[place]), kProductGroups * kGroupWarps);
    }
  }
  __device__ static uint32_t place(uint32_t tile) { return tile % kPlaces; }
  __device__ static uint32_t parity(uint32_t tile) { return tile / kPlaces % 2; }
  __device__ void wait_full(uint32_t tile) const {
    barrier_wait(shared_address(&full[place(tile)]), parity(tile));
  }
  __device__ void wait_empty(uint32_t tile) const {
    barrier_wait(shared_address(&empty[place(tile)]), parity(tile) ^ 1);
  }
  // When what this thread has copied is there.
  __device__ void fill(uint32_t tile) const {
    barrier_arrive_after_copies(shared_address(&full[place(tile)]));
  }
  // The warp's products are done.
  __device__ void release(uint32_t tile, int lane) const {
    if (lane == 0) barrier_arrive(shared_address(&empty[place(tile)]));
  }
};

struct Meetings {
  Ring<1> queries;
  Ring<kTiles> keys;
  Ring<kTiles> values;
  uint64_t turns[kProductGroups];  // to start products

  __device__ void init() {
    queries.init();
    keys.init();
    values.init();
    for (uint64_t& turn : turns) barrier_init(shared_address(&turn), kGroupWarps);
    barrier_init_done();
  }
};

// Where a 16-byte unit of a row of 64 columns stands, in elements: see swizzled_rows().
__device__ constexpr int unit_at(int row, int unit) { return row * 64 + (unit ^ row % 8) * 8; }

// 128 rows of a cached head's queries, or fewer.
struct QueryTile {
  int sequence;
  int cached_head;
  Group group;
  int first;  // row
  int rows;
  int begin = 0;  // tiles of positions
  int end = 0;

  // The last rows see most: they come first.
  __device__ QueryTile(const AttentionCall& call, int sequences, int tiles, int index)
      : sequence(index / call.cached_heads % sequences),
        cached_head(index % call.cached_heads),
        group(group_of(call, cached_head)),
        first((tiles - 1 - index / call.cached_heads / sequences) * kTileRows),
        rows(min(kTileRows, call.tokens * group.count - first)) {
    if (rows <= 0) return;
    begin = seen(call, 0).begin / kTileRows;
    end = end_for(call, rows - 1);
  }
  // Of a row, or of the last one beyond it.
  __device__ QueryRow query(int row) const { return query_row(group, first + min(row, rows - 1)); }
  __device__ Seen seen(const AttentionCall& call, int row) const {
    return seen_by(call, sequence, query(row).token);
  }
  // The end of the tiles of positions that the rows up to this one see.
  __device__ int end_for(const AttentionCall& call, int row) const {
    return (seen(call, row).end + kTileRows - 1) / kTileRows;
  }
};

__host__ __device__ int query_tiles(const AttentionCall& call) {
  return (call.tokens * call.group + kTileRows - 1) / kTileRows;
}

// Blocks take tiles in turn, every other time the last block first: all see about as much.
template <class Take>
__device__ __forceinline__ void for_each_tile(const AttentionCall& call, int sequences,
                                              Take&& take) {
  const int tiles = query_tiles(call), count = tiles * call.cached_heads * sequences;
  const int blocks = gridDim.x, block = blockIdx.x;
  uint32_t taken = 0;
  for (int round = 0; round * blocks < count; ++round) {
    const int index = round * blocks + (round % 2 == 0 ? block : blocks - 1 - block);
    if (index >= count) break;
    const QueryTile tile(call, sequences, tiles, index);
    if (tile.rows > 0) take(tile, taken++);
  }
}

// What brings queries and cached rows.
template <class T, int kWidth>
struct Bringer {
  static constexpr int kRowsAtOnce = kGroup / 8;  // eight threads a row
  using Tile = typename Room<T, kWidth>::Tile;

  const AttentionCall& call;
  Room<T, kWidth>& room;
  const Meetings& meetings;
  int row;   // the thread's first one
  int unit;  // of 64 columns
  uint32_t keys = 0, values = 0;

  __device__ void bring_queries(const QueryTile& tile, uint32_t index) const {
    meetings.queries.wait_empty(index);
    T* const to = room.queries + unit_at(row, unit);
#pragma unroll
    for (int i = 0; i < kTileRows; i += kRowsAtOnce) {
      const T* const from = static_cast<const T*>(call.q) +
                            query_index(call, tile.sequence, tile.query(row + i)) * kWidth +
                            unit * 8;
#pragma unroll
      for (int slice = 0; slice < kWidth / 64; ++slice)
        copy_async(to + i * 64 + slice * kSlice, from + slice * 64, 16);
    }
    meetings.queries.fill(index);
  }

  // Zeros where none of the rows sees a position: what stands there may be no number.
  __device__ void bring_rows(const Ring<kTiles>& ring, uint32_t index, Tile* places,
                             const void* rows, Seen seen) const {
    ring.wait_empty(index);
    const T* const from = static_cast<const T*>(rows) + row * kWidth + unit * 8;
    T* const to = places[ring.place(index)] + unit_at(row, unit);
#pragma unroll
    for (int i = 0; i < kTileRows; i += kRowsAtOnce) {
      const int bytes = row + i >= seen.begin && row + i < seen.end ? 16 : 0;
#pragma unroll
      for (int slice = 0; slice < kWidth / 64; ++slice)
        copy_async(to + i * 64 + slice * kSlice, from + i * kWidth + slice * 64, bytes);
    }
    ring.fill(index);
  }

  __device__ void bring(int sequences) {
    for_each_tile(call, sequences, [&](const QueryTile& tile, uint32_t index) {
      const CachedSequence cache = call.caches[tile.sequence];
      const Seen seen{tile.seen(call, 0).begin, tile.seen(call, tile.rows - 1).end};
      const auto rows_at = [&](const void* elements, int first) {
        const int slots = static_cast<int>(cache.slots);
        const int64_t slot = int64_t{tile.cached_head} * slots + first % slots;
        return static_cast<const T*>(elements) + slot * kWidth;
      };
      const auto bring_keys = [&](int of) {
        const int first = of * kTileRows;
        bring_rows(meetings.keys, keys++, room.keys, rows_at(cache.keys.elements, first),
                   {seen.begin - first, seen.end - first});
      };
      bring_keys(tile.begin);
      bring_queries(tile, index);
#pragma unroll 1
      for (int of = tile.begin; of < tile.end; ++of) {
        if (of + 1 < tile.end) bring_keys(of + 1);
        const int first = of * kTileRows;
        bring_rows(meetings.values, values++, room.values, rows_at(cache.values.elements, first),
                   {seen.begin - first, seen.end - first});
      }
    });
    asm volatile("cp.async.wait_all;" ::: "memory");
  }
};

// A thread has parts of rows r and r + 8 of its warp's 16: r = lane / 4.
struct RowSums {
  float largest[2] = {kLowest, kLowest};  // scores, of powers of two
  float total[2] = {};
};

using Scores = float[kTileRows / 2];

// Scores of positions [first, first + 128) that a row does not see weigh nothing.
__device__ __forceinline__ void mask(Scores& scores, int first, const Seen (&sees)[2], int lane) {
#pragma unroll
  for (int i = 0; i < kTileRows / 2; ++i) {
    const int at = first + i / 4 * 8 + lane % 4 * 2 + i % 2;
    const Seen& seen = sees[i / 2 % 2];
    if (at < seen.begin || at >= seen.end) scores[i] = -INFINITY;
  }
}

// From scores to weights, and the factors of the rows' sums so far.
__device__ __forceinline__ void weigh(Scores& scores, float scale, RowSums& sums,
                                      float (&factors)[2]) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float most[2] = {-INFINITY, -INFINITY};
#pragma unroll
    for (int i = 0; i < kTileRows / 2; i += 4)
#pragma unroll
      for (int j = 0; j < 2; ++j) most[j] = fmaxf(most[j], scores[i + 2 * half + j]);
    float largest = fmaxf(most[0], most[1]);
    largest = fmaxf(largest, __shfl_xor_sync(0xffffffffu, largest, 1));
    largest = fmaxf(largest, __shfl_xor_sync(0xffffffffu, largest, 2));
    largest = fmaxf(largest * scale, sums.largest[half]);
    factors[half] = exp2_fast(sums.largest[half] - largest);
    sums.largest[half] = largest;
    float sum[2] = {};
#pragma unroll
    for (int i = 0; i < kTileRows / 2; i += 4)
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        float& score = scores[i + 2 * half + j];
        score = exp2_fast(__fmaf_rn(score, scale, -largest));
        sum[j] += score;
      }
    sums.total[half] = sums.total[half] * factors[half] + (sum[0] + sum[1]);
  }
}

// A warpgroup that multiplies.
template <class T, int kWidth>
struct ProductGroup {
  using Weights = uint32_t[kTileRows / 16][4];
  using Sums = float[kWidth / 2];

  const AttentionCall& call;
  Room<T, kWidth>& room;
  const Meetings& meetings;
  int group;
  int warp;  // of the warpgroup
  int lane;
  uint32_t tiles = 0;  // of keys and of values that were taken

  __device__ int first_row() const { return group * kGroupRows; }
  __device__ int warp_row() const { return first_row() + warp * 16; }

  __device__ void wait_for_turn(uint32_t tile) const {
    barrier_wait(shared_address(&meetings.turns[group]), (tile + (group == 0 ? 1 : 0)) % 2);
  }
  __device__ void end_turn() const {
    if (lane == 0) barrier_arrive(shared_address(&meetings.turns[1 - group]));
  }

  // Starts the products of all rows' queries with keys.
  __device__ void score(uint32_t tile, Scores& scores) const {
    const uint64_t query_rows = swizzled_rows(shared_address(room.queries + first_row() * 64));
    const uint64_t key_rows = swizzled_rows(shared_address(room.keys[meetings.keys.place(tile)]));
#pragma unroll
    for (int slice = 0; slice < kWidth / 64; ++slice)
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        const uint32_t at = slice * kSliceBytes + k * 32;
        wgmma_shared<T>(scores, rows_after(query_rows, at), rows_after(key_rows, at),
                        slice > 0 || k > 0);
      }
    wgmma_commit();
  }
  // Starts those of weights with values.
  __device__ void sum(uint32_t tile, const Weights& weights, Sums& mixed) const {
    const uint64_t value_rows =
        turned_rows(shared_address(room.values[meetings.values.place(tile)]), kSliceBytes);
#pragma unroll
    for (int k = 0; k < kTileRows / 16; ++k)
      wgmma_turned<T>(mixed, weights[k], rows_after(value_rows, k * 16 * 128), 1);
    wgmma_commit();
  }
  // As A's fragments.
  __device__ static void pack_weights(const Scores& scores, Weights& weights) {
#pragma unroll
    for (int k = 0; k < kTileRows / 16; ++k) {
#pragma unroll
      for (int i = 0; i < 4; ++i)
        weights[k][i] = pack<T>(scores[8 * k + 2 * i], scores[8 * k + 2 * i + 1]);
      pin(weights[k]);
    }
  }

  __device__ void attend(const QueryTile& tile, uint32_t index, int end) {
    const int own = warp_row();
    const Seen sees[2] = {tile.seen(call, own + lane / 4), tile.seen(call, own + lane / 4 + 8)};
    // What all of the warp's rows see.
    const Seen common{tile.seen(call, own + 15).begin, tile.seen(call, own).end};
    const float scale = call.scale * kLog2E;
    const auto weigh_tile = [&](int of, Scores& scores, RowSums& sums, float(&factors)[2]) {
      const int first = of * kTileRows;
      if (first < common.begin || first + kTileRows > common.end) mask(scores, first, sees, lane);
      weigh(scores, scale, sums, factors);
    };
    RowSums sums;
    Scores scores;
    Weights weights;
    Sums mixed;
    float factors[2];

    meetings.keys.wait_full(tiles);
    show_to_async();
    wait_for_turn(tiles);
    wgmma_fence();
    score(tiles, scores);
    end_turn();
#pragma unroll
    for (int i = 0; i < kWidth / 2; ++i) mixed[i] = 0;
    wgmma_wait<0>();
    pin(scores);
    meetings.keys.release(tiles, lane);
    weigh_tile(tile.begin, scores, sums, factors);
    meetings.values.wait_full(tiles);
    pack_weights(scores, weights);
#pragma unroll 1
    for (int of = tile.begin + 1; of < end; ++of) {
      ++tiles;
      meetings.keys.wait_full(tiles);
      show_to_async();
      wait_for_turn(tiles);
      pin(mixed);
      wgmma_fence();
      score(tiles, scores);
      sum(tiles - 1, weights, mixed);
      end_turn();
      wgmma_wait<1>();
      pin(scores);
      meetings.keys.release(tiles, lane);
      weigh_tile(of, scores, sums, factors);
      pin(scores);
      // Its loop keeps the assembler from moving the wait for all products ahead of the weights.
      meetings.values.wait_full(tiles);
      wgmma_wait<0>();
      pin(mixed);
#pragma unroll
      for (int k = 0; k < kTileRows / 16; ++k) pin(weights[k]);
      meetings.values.release(tiles - 1, lane);
      pack_weights(scores, weights);
      if (__any_sync(0xffffffffu, factors[0] != 1 || factors[1] != 1)) {
#pragma unroll
        for (int i = 0; i < kWidth / 2; ++i) mixed[i] *= factors[i / 2 % 2];
      }
    }
    meetings.queries.release(index, lane);
    show_to_async();
    pin(mixed);
    wgmma_fence();
    sum(tiles, weights, mixed);
    wgmma_wait<0>();
    pin(mixed);
    meetings.values.release(tiles, lane);
    ++tiles;
    put(tile, sums, mixed);
  }

  __device__ void put(const QueryTile& tile, const RowSums& sums, const Sums& mixed) const {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float total = sums.total[half];
      total += __shfl_xor_sync(0xffffffffu, total, 1);
      total += __shfl_xor_sync(0xffffffffu, total, 2);
      const int row = warp_row() + lane / 4 + 8 * half;
      if (row >= tile.rows) continue;
      const QueryRow query = tile.query(row);
      float factor = 1;
      if (call.sinks != nullptr) {
        const float sink = call.sinks[query.head] * kLog2E;
        const float largest = fmaxf(sink, sums.largest[half]);
        factor = exp2_fast(sums.largest[half] - largest);
        total = total * factor + exp2_fast(sink - largest);
      }
      factor /= total;
      T* const out = static_cast<T*>(call.out) + query_index(call, tile.sequence, query) * kWidth +
                     lane % 4 * 2;
#pragma unroll
      for (int i = 0; i < kWidth / 8; ++i)
        *reinterpret_cast<uint32_t*>(out + i * 8) =
            pack<T>(mixed[4 * i + 2 * half] * factor, mixed[4 * i + 2 * half + 1] * factor);
    }
  }

  // Tiles that only the other warpgroup's rows see.
  __device__ void skip(int count) {
    for (; count > 0; --count, ++tiles) {
      meetings.keys.wait_full(tiles);
      meetings.keys.release(tiles, lane);
      wait_for_turn(tiles);
      end_turn();
      meetings.values.wait_full(tiles);
      meetings.values.release(tiles, lane);
    }
  }

  __device__ void multiply(int sequences) {
    for_each_tile(call, sequences, [&](const QueryTile& tile, uint32_t index) {
      meetings.queries.wait_full(index);
      int end = tile.begin;
      if (first_row() < tile.rows) {
        end = tile.end_for(call, first_row() + kGroupRows - 1);
        attend(tile, index, end);
      } else {
        meetings.queries.release(index, lane);
      }
      skip(tile.end - end);
    });
  }
};

template <class T, int kWidth>
__global__ void __launch_bounds__(kThreads, 1)
    attend_many_sm90_kernel(const AttentionCall call, int sequences) {
  extern __shared__ __align__(1024) unsigned char swizzled[];
  __shared__ Meetings meetings;
  Room<T, kWidth>& room = *reinterpret_cast<Room<T, kWidth>*>(swizzled);
  if (threadIdx.x == 0) meetings.init();
  begin_after_all();
  __syncthreads();
  // The compiler is to know that they are the same in all lanes.
  const int warp = __shfl_sync(~0u, static_cast<int>(threadIdx.x) / 32, 0);
  const int group = warp / kGroupWarps;
  if (group == kProductGroups) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kBringRegisters));
    const int thread = threadIdx.x % kGroup;
    Bringer<T, kWidth>{call, room, meetings, thread / 8, thread % 8}.bring(sequences);
  } else {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kProductRegisters));
    ProductGroup<T, kWidth>{
        call, room, meetings, group, warp % kGroupWarps, static_cast<int>(threadIdx.x) % 32}
        .multiply(sequences);
  }
}

template <class T, int kWidth>
void start(const AttentionLaunch& at, int multiprocessors) {
  const int64_t tiles = int64_t{query_tiles(at.call)} * at.call.cached_heads * at.sequences;
  launch(
      {"attention of many rows", static_cast<unsigned>(std::min<int64_t>(tiles, multiprocessors)),
       kThreads, sizeof(Room<T, kWidth>), at.stream, Order::kOverlapping},
      attend_many_sm90_kernel<T, kWidth>, at.call, at.sequences);
}

template <class T>
void start(const AttentionLaunch& at, int multiprocessors) {
  if (at.shape.width == 64)
    start<T, 64>(at, multiprocessors);
  else
    start<T, 128>(at, multiprocessors);
}

}  // namespace

bool attend_many_sm90(const AttentionLaunch& at, int multiprocessors) {
  const AttentionShape& shape = at.shape;
  if (shape.width != shape.value_width || shape.width != shape.value_stride) return false;
  if (shape.width != 64 && shape.width != 128) return false;
  // The largest of scores is found before they are scaled.
  if (at.call.scale <= 0 || at.call.row_scales != nullptr) return false;
  if (shape.dtype == DType::kBF16)
    start<__nv_bfloat16>(at, multiprocessors);
  else if (shape.dtype == DType::kF16)
    start<__half>(at, multiprocessors);
  else
    return false;
  return true;
}

}  // namespace strake::cuda
