#include "ops/cuda/few_rows_plan.h"

#include <algorithm>
#include <cstdint>
#include <limits>

namespace strake::cuda {
namespace {

int aligned(int bytes) { return (bytes + 127) / 128 * 128; }

// What sums may take of shared memory however many units they are of.
constexpr int64_t kSumBytes = 16 * 1024;

// Items that a block takes at once, of `share`: so many that its warps multiply as few units one
// after the other as can be, and then as many as `most_units` allows: after them all wait for each
// other.
int choose_items(int leaves, int warps, int share, int64_t most_units) {
  const auto units_of_a_warp = [&](int items) { return (items * leaves + warps - 1) / warps; };
  int best = 1, least = std::numeric_limits<int>::max();
  for (int items = 1; items <= share; ++items) {
    if (items > 1 && items * leaves > most_units) break;
    const int all = share / items * units_of_a_warp(items) + units_of_a_warp(share % items);
    if (all > least) continue;
    least = all;
    best = items;
  }
  return best;
}

int most_leaf_tiles(const Leaves& leaves) {
  int most = 1;
  for (int leaf = 0; leaf < leaves.count; ++leaf)
    most = std::max(most, leaves.tiles[leaf + 1] - leaves.tiles[leaf]);
  return most;
}

// As many stages of the ring as fit beside what else takes shared memory, if two do.
bool set_ring(FewRowsParameters& p, PackedFormat format, const FewRowsSize& size,
              const FewRowsRing& ring, int64_t others) {
  int blocks = std::max(1, ring.chunk_bytes / format.tile_bytes() / format.tiles_per_block());
  if (blocks > 1) blocks -= blocks % 2;  // two tiles are multiplied at a time
  p.chunk_tiles = blocks * format.tiles_per_block();
  p.ring.scales_at = p.chunk_tiles * format.tile_bytes();
  p.ring.stage_bytes = aligned(p.ring.scales_at + blocks * format.scale_block_bytes());
  p.ring.stages = static_cast<int>(std::min<int64_t>(
      (size.shared_bytes - others) / (size.warps * p.ring.stage_bytes), ring.stages));
  return p.ring.stages >= 2;
}

}  // namespace

FewRowsGrid plan_few_rows(FewRowsParameters& p, PackedFormat format, const FewRowsSize& size) {
  const ExpertRows& experts = p.experts;
  const bool mixes = experts.tokens > 0;
  const int columns_at_once = p.x_halves == 2 ? 8 : 8 * size.octets;
  // As many as there are rows of x: sums of columns that stay empty would take the room of others.
  p.visit_columns = std::min(columns_at_once, p.x_rows);
  p.columns = p.x_rows;
  if (experts.rows > 0) p.columns = std::min(p.visit_columns, experts.rows);
  if (mixes) p.columns = experts.tokens;
  const int rows = p.x_rows * p.x_halves;
  p.group_sums = p.x_halves * (p.x_rows + p.x_rows % 2);
  const bool affine = format.scaling == Scaling::kAffine16 || format.scaling == Scaling::kAffine32;
  int64_t items = p.row_tiles;
  if (experts.rows > 0) items *= mixes ? experts.groups : experts.rows;
  if (items == 0) return {};
  const int leaves = p.leaves.count;
  for (int slices = 1; slices <= leaves; slices += p.perfect != 0 ? slices : 1) {
    int most_leaves = 0, most_tiles = 0;
    for (int slice = 0; slice < slices; ++slice) {
      const int first = slice * leaves / slices, end = (slice + 1) * leaves / slices;
      most_leaves = std::max(most_leaves, end - first);
      most_tiles = std::max(most_tiles, p.leaves.tiles[end] - p.leaves.tiles[first]);
    }
    const int blocks_of_slice = std::max(1, size.multiprocessors / slices);
    const auto share = static_cast<int>(
        std::min<int64_t>((items + blocks_of_slice - 1) / blocks_of_slice, 1 << 20));
    p.slices = slices;
    p.by_slices = Divisor(slices);
    p.by_row_tiles = Divisor(p.row_tiles);
    p.least_leaves = leaves / slices;
    p.by_leaves[0] = Divisor(p.least_leaves);
    p.by_leaves[1] = Divisor(p.least_leaves + 1);
    p.by_columns = Divisor(p.columns);
    p.x_row_bytes = most_tiles * kTileInputs * 2 + 16;
    const int64_t x = int64_t{rows} * p.x_row_bytes;
    const int64_t group_floats = (has_two_places(format.coding) ? 2 : 1) * p.group_sums;
    const int64_t group_sums =
        affine ? int64_t{most_tiles} * kTileInputs / format.group * group_floats * 4 : 0;
    const int64_t visits = experts.rows > 0 ? kExpertVisitsBytes : 0;
    const int64_t mixed = mixes ? int64_t{experts.rows} * 8 * size.octets * kMixedColumnBytes : 0;
    p.rings_at = aligned(size.warps * kMostStages * 8);
    const int64_t others = p.rings_at + x + group_sums + visits + mixed + 1024;
    // Large chunks first, then many units. Slices meet in memory, which takes its time: the less
    // often the better.
    const int64_t unit_sums = int64_t{2} * p.columns * kTileRows * 4;
    const int64_t many =
        std::max<int64_t>(size.warps * (slices == 1 ? 1 : 2), kSumBytes / unit_sums);
    int64_t sums = 0;
    bool fits = false;
    for (const FewRowsRing& ring : size.rings)
      for (const int64_t most_units : {many, int64_t{size.warps}}) {
        if (fits || ring.stages == 0) continue;
        p.items_at_once = choose_items(most_leaves, size.warps, share, most_units);
        p.units = p.items_at_once * most_leaves;
        sums = p.units * unit_sums;
        fits = set_ring(p, format, size, ring, others + sums);
      }
    if (!fits) continue;
    p.sums_at = p.rings_at + size.warps * p.ring.stages * p.ring.stage_bytes;
    p.x_at = p.sums_at + aligned(static_cast<int>(sums));
    p.group_sums_at = p.x_at + aligned(static_cast<int>(x));
    p.visits_at = p.group_sums_at + aligned(static_cast<int>(group_sums));
    p.mixed_at = p.visits_at + aligned(static_cast<int>(visits));
    p.last_at = p.mixed_at + aligned(static_cast<int>(mixed));
    p.visits_at_once = 1;
    if (mixes) p.visits_at_once = std::max(1, p.chunk_tiles / most_leaf_tiles(p.leaves));
    const int64_t blocks = std::min<int64_t>(blocks_of_slice, items);
    p.blocks = static_cast<int>(blocks);
    p.block_items = static_cast<int>(items / blocks);
    p.blocks_with_more = static_cast<int>(items % blocks);
    const int64_t most_items = (items + blocks - 1) / blocks;
    p.turns = static_cast<int>((most_items + p.items_at_once - 1) / p.items_at_once);
    if (slices > 1 && blocks * p.turns > kMaxArrivals) continue;
    return {static_cast<int>(blocks) * slices, p.last_at + 128};
  }
  return {};
}

}  // namespace strake::cuda
