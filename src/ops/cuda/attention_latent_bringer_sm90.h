// The warpgroup of attention_latent_sm90.cu that brings positions, and what brings queries.
#pragma once

#include "ops/cuda/attention_latent_block_sm90.h"

namespace strake::cuda::latent {

// What was brought before it was known where the token stands: positions [begin, end), of which
// all below `settled` were to be there.
struct Early {
  int begin = 0;
  int end = 0;
  int settled = 0;
};

template <class T, int kOwn, int kHeadTiles>
struct LatentBringer : LatentBlock<T, kOwn, kHeadTiles> {
  using Block = LatentBlock<T, kOwn, kHeadTiles>;
  using Block::call;
  using Block::empty;
  using Block::full;
  using Block::kParts;
  using Block::kSlices;
  using Block::meetings;
  using Block::parity;
  using Block::part_slice;
  using Block::room;
  using Block::row;
  using Block::share;
  using typename Block::OwnRoom;
  static constexpr int kTiles = Block::kTiles;

  // A thread's 16 bytes of a row's slices; `unit` is which ones of 64 columns.
  __device__ static void copy_slices(const T* from, int first, int end, int unit, int share, T* to,
                                     int bytes) {
#pragma unroll
    for (int slice = first; slice < end; ++slice) {
      const bool is_last = slice == kSlices - 1;
      if (is_last && kOwn == 1 && unit / (8 / kHalves) != share) continue;
      const int column = is_last ? kLatentValues : share * kHalfColumns + slice * 64;
      copy_async(to + slice * kSlice, from + column, bytes);
    }
  }

  // The first tiles' rows that were stored long ago.
  __device__ static Early bring_early(const AttentionCall& call, OwnRoom& room, int chunk,
                                      int share) {
    Early early;
    if (call.partials == nullptr) return early;
    const int sequence = static_cast<int>(blockIdx.z) / call.tokens;
    const int token = static_cast<int>(blockIdx.z) % call.tokens;
    const CachedSequence cache = call.caches[sequence];
    early.settled = settled_positions(call, sequence, cache);
    const int length = chunk_length(call.growing_chunks, early.settled + token + 1);
    early.begin = chunk * length;
    early.end = min(early.settled, early.begin + min(length, kEarlyTiles * kKeys));
    const int thread = threadIdx.x % kGroup, unit = thread % 8;
    const T* const cached = static_cast<const T*>(cache.keys.elements) + unit * 8;
    for (int at = thread / 8; early.begin + at < early.end; at += kGroup / 8)
      copy_slices(cached + int64_t{early.begin + at} * kLatentWidth, 0, kSlices, unit, share,
                  room.tiles[at / kKeys] + unit_at(at % kKeys, unit), 16);
    return early;
  }

  // Eight threads a row. Positions below `brought` are on their way already.
  __device__ void bring(int brought) const {
    constexpr int kRows = kGroup / 8;  // at a time
    const int thread = threadIdx.x % kGroup, unit = thread % 8;
    const T* const cached = static_cast<const T*>(row.cached) + unit * 8;
    int tile = 0;
    for (int first = row.begin; first < row.end; first += kKeys, ++tile) {
      const T* from[kKeys / kRows];
      int bytes[kKeys / kRows];
#pragma unroll
      for (int i = 0; i < kKeys / kRows; ++i) {
        const int position = row.position_of(first + thread / 8 + i * kRows);
        from[i] = cached + int64_t{max(position, 0)} * kLatentWidth;
        bytes[i] = position < 0 ? 0 : 16;
      }
      T* const to = room.tiles[tile % kTiles] + unit_at(thread / 8, unit);
#pragma unroll
      for (int part = 0; part < kParts; ++part) {
        barrier_wait(empty(meetings, tile, part), parity(tile) ^ 1);
#pragma unroll
        for (int i = 0; i < kKeys / kRows; ++i)
          if (first + thread / 8 + i * kRows >= brought)
            copy_slices(from[i], part_slice(part), part_slice(part + 1), unit, share,
                        to + i * kRows * 64, bytes[i]);
        barrier_arrive_after_copies(full(meetings, tile, part));
      }
    }
    wait_for_all_copies();
  }

  // By the warpgroups that sum, before it is known what there is to sum. Zeros beyond the last
  // head.
  __device__ static void bring_queries(const AttentionCall& call, OwnRoom& room,
                                       const Meetings& meetings, int share) {
    const int unit = threadIdx.x % 8;
    constexpr int kHeads = kHeadTiles * kTileHeads;
    const int first_head = static_cast<int>(blockIdx.y) * kHeads;
    const T* const q = static_cast<const T*>(call.q) +
                       (int64_t{blockIdx.z} * call.heads + first_head) * kLatentWidth + unit * 8;
#pragma unroll 2
    for (int head = threadIdx.x / 8; head < kHeads; head += kSumGroups * kGroup / 8) {
      const bool there = first_head + head < call.heads;
      copy_slices(q + (there ? head : 0) * kLatentWidth, 0, kSlices, unit, share,
                  room.queries[head / kTileHeads] + unit_at(head % kTileHeads, unit),
                  there ? 16 : 0);
    }
    barrier_arrive_after_copies(shared_address(&meetings.queries));
  }
};

}  // namespace strake::cuda::latent
