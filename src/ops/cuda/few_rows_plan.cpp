#include "ops/cuda/few_rows_plan.h"

#include <algorithm>
#include <cstdint>

namespace strake::cuda {
namespace {

int aligned(int bytes) { return (bytes + 127) / 128 * 128; }

// What sums may take of shared memory where all have a place.
constexpr int64_t kSumBytes = 16 * 1024;

// Bits of a window of so many units at least, if there are so many items.
int choose_window(int leaves, int units, int share) {
  int bits = 0;
  while (leaves << bits < units && 1 << bits < std::min(share, kMostWindow)) ++bits;
  return bits;
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
  int stages = ring.stages;
  // A chunk is of one leaf, if not of several visits': what none fills is better used.
  if (p.slices > 1 && p.experts.tokens == 0) {
    const int most = (most_leaf_tiles(p.leaves) / format.tiles_per_block() + 1) / 2 * 2;
    if (most < blocks) {
      stages = std::min(kMostStages, stages * blocks / most);
      blocks = most;
    }
  }
  if (blocks > 1) blocks -= blocks % 2;  // two tiles are multiplied at a time
  p.chunk_tiles = blocks * format.tiles_per_block();
  p.ring.scales_at = p.chunk_tiles * format.tile_bytes();
  p.ring.stage_bytes = aligned(p.ring.scales_at + blocks * format.scale_block_bytes());
  p.ring.stages = static_cast<int>(
      std::min<int64_t>((size.shared_bytes - others) / (size.warps * p.ring.stage_bytes), stages));
  return p.ring.stages >= 2;
}

// What is the same however leaves are divided. `items` are row tiles, of experts for each visit or
// group.
struct Product {
  PackedFormat format;
  int64_t items;

  int64_t group_sum_bytes(const FewRowsParameters& p, int tiles) const {
    if (format.scaling != Scaling::kAffine16 && format.scaling != Scaling::kAffine32) return 0;
    const int64_t floats = (has_two_places(format.coding) ? 2 : 1) * p.group_sums;
    return int64_t{tiles} * kTileInputs / format.group * floats * 4;
  }
};

// Rows of x that a block with so many items brings: of experts' rows apart those of its visits, if
// they are fewer than all.
int rows_of_block(const FewRowsParameters& p, int items) {
  if (p.experts.rows == 0 || p.experts.tokens > 0 || p.x_halves > 1) return p.x_rows;
  const int most_visits = (items - 1) / p.row_tiles + 2;
  return static_cast<int>(std::min<int64_t>(p.x_rows, int64_t{most_visits} * p.visit_columns));
}

// With so many slices of the leaves, and windows of so many units.
FewRowsGrid divide(FewRowsParameters& p, const Product& product, const FewRowsSize& size,
                   int slices, int window_units) {
  const int leaves = p.leaves.count;
  int most_leaves = 0, most_tiles = 0;
  for (int slice = 0; slice < slices; ++slice) {
    const int first = slice * leaves / slices, end = (slice + 1) * leaves / slices;
    most_leaves = std::max(most_leaves, end - first);
    most_tiles = std::max(most_tiles, p.leaves.tiles[end] - p.leaves.tiles[first]);
  }
  const int blocks_of_slice = std::max(1, size.multiprocessors / slices);
  const auto share = static_cast<int>(
      std::min<int64_t>((product.items + blocks_of_slice - 1) / blocks_of_slice, 1 << 20));
  p.slices = slices;
  p.by_slices = Divisor(slices);
  p.least_leaves = leaves / slices;
  p.by_leaves[0] = Divisor(p.least_leaves);
  p.by_leaves[1] = Divisor(p.least_leaves + 1);
  const bool same_leaf = leaves % slices == 0 && size.warps % most_leaves == 0;
  const auto items_apart = static_cast<uint32_t>(same_leaf ? size.warps / most_leaves : 0);
  p.codes_apart = items_apart * p.row_codes;
  p.scales_apart = items_apart * p.row_scales;
  p.x_row_bytes = most_tiles * kTileInputs * 2 + 16;
  p.x_room = rows_of_block(p, share);
  p.group_sums = p.x_halves * (p.x_room + p.x_room % 2);
  const int64_t x = int64_t{p.x_room} * p.x_halves * p.x_row_bytes;
  const int64_t group_sums = product.group_sum_bytes(p, most_tiles);
  const bool mixes = p.experts.tokens > 0;
  const int64_t visits = p.experts.rows > 0 ? kExpertVisitsBytes : 0;
  const int64_t mixed = mixes ? int64_t{p.experts.rows} * 8 * size.octets * kMixedColumnBytes : 0;
  p.rings_at = aligned(size.warps * kMostStages * 8);
  const int64_t others = p.rings_at + x + group_sums + visits + mixed + 1024;
  // Where sums are few all are combined at the end: a window takes instructions of each unit.
  const int64_t unit_sums = int64_t{p.columns} * kTileRows * 4;
  const bool all = slices == 1 && int64_t{share} * leaves * unit_sums <= kSumBytes;
  p.window_bits = choose_window(most_leaves, window_units, share);
  p.window = all ? 0 : 1 << p.window_bits;
  p.units = all ? share * leaves : most_leaves << p.window_bits;
  const int64_t sums = p.units * unit_sums;
  bool fits = false;
  for (const FewRowsRing& ring : size.rings)
    fits = fits || (ring.stages > 0 && set_ring(p, product.format, size, ring, others + sums));
  if (!fits) return {};
  p.sums_at = p.rings_at + size.warps * p.ring.stages * p.ring.stage_bytes;
  p.x_at = p.sums_at + aligned(static_cast<int>(sums));
  p.group_sums_at = p.x_at + aligned(static_cast<int>(x));
  p.visits_at = p.group_sums_at + aligned(static_cast<int>(group_sums));
  p.mixed_at = p.visits_at + aligned(static_cast<int>(visits));
  p.counts_at = p.mixed_at + aligned(static_cast<int>(mixed));
  p.visits_at_once = mixes ? std::max(1, p.chunk_tiles / most_leaf_tiles(p.leaves)) : 1;
  const int64_t blocks = std::min<int64_t>(blocks_of_slice, product.items);
  p.blocks = static_cast<int>(blocks);
  p.block_items = static_cast<int>(product.items / blocks);
  p.blocks_with_more = static_cast<int>(product.items % blocks);
  return {static_cast<int>(blocks) * slices,
          p.counts_at + aligned((kMostWindow + 1) * static_cast<int>(sizeof(unsigned)))};
}

}  // namespace

FewRowsGrid plan_few_rows(FewRowsParameters& p, PackedFormat format, const FewRowsSize& size) {
  const ExpertRows& experts = p.experts;
  const bool mixes = experts.tokens > 0;
  const int columns_at_once = p.x_halves == 2 ? 8 : 8 * size.octets;
  // Sums of columns that stay empty would take the room of others.
  p.visit_columns = std::min({columns_at_once, p.x_rows, experts.most_rows});
  p.columns = p.x_rows;
  if (experts.rows > 0) p.columns = std::min(p.visit_columns, experts.rows);
  if (mixes) p.columns = experts.tokens;
  p.by_row_tiles = Divisor(p.row_tiles);
  p.by_columns = Divisor(p.columns);
  Product product = {format, p.row_tiles};
  if (experts.rows > 0) product.items *= mixes ? experts.groups : experts.rows;
  if (product.items == 0) return {};
  // Two units of each warp, so that one may be ahead of another while a third combines sums; or
  // one.
  for (const int window_units : {2 * size.warps, size.warps})
    for (int slices = 1; slices <= p.leaves.count; slices += p.perfect != 0 ? slices : 1) {
      if (slices > 1 && product.items > kMaxArrivals) break;
      const FewRowsGrid grid = divide(p, product, size, slices, window_units);
      if (grid.blocks > 0) return grid;
    }
  return {};
}

}  // namespace strake::cuda
