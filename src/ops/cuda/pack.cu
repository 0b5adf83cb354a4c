#include "ops/cuda/launch.h"
#include "ops/cuda/pack.h"

namespace strake::cuda {
namespace {

constexpr int kThreads = 256;

// Which row tile of which matrix, and where its rows are in the source.
struct RowTile {
  int64_t matrix;
  int32_t in_matrix;
  int64_t first_row;  // of the source
  int32_t rows;       // up to 16
};

__device__ RowTile row_tile(const PackSource& from, int64_t index) {
  const int64_t per_matrix = (from.matrix_rows + kTileRows - 1) / kTileRows;
  const int64_t matrix = index / per_matrix;
  const auto in_matrix = static_cast<int32_t>(index % per_matrix);
  const int64_t left = from.matrix_rows - int64_t{in_matrix} * kTileRows;
  return {matrix, in_matrix, matrix * from.matrix_rows + int64_t{in_matrix} * kTileRows,
          static_cast<int32_t>(left < kTileRows ? left : kTileRows)};
}

// Element `at` of a row's stream of codes.
template <int kBits>
__device__ uint32_t stored_code(const uint32_t* row, int64_t at) {
  if constexpr (kBits == 16) return reinterpret_cast<const uint16_t*>(row)[at];
  const int64_t bit = at * kBits;
  const int shift = static_cast<int>(bit % 32);
  uint32_t code = row[bit / 32] >> shift;
  if (shift + kBits > 32) code |= row[bit / 32 + 1] << (32 - shift);
  return code & ((1u << kBits) - 1);
}

// The leaf of a tile, and the input where the tile begins; inputs of the leaf from there on.
struct TileInputs {
  int32_t begin;
  int32_t count;
};

__device__ TileInputs tile_inputs(const Leaves& leaves, int32_t tile) {
  int leaf = 0;
  while (tile >= leaves.tiles[leaf + 1]) ++leaf;
  const int32_t begin = leaves.cuts[leaf] + (tile - leaves.tiles[leaf]) * kTileInputs;
  return {begin, leaves.cuts[leaf + 1] - begin};
}

// A warp makes a tile.
template <Coding kCoding>
__global__ void pack_codes(PackedShape shape, PackSource from, PackTarget to, int64_t tiles) {
  constexpr int kBits = code_bits(kCoding);
  const int64_t warp = (int64_t{blockIdx.x} * kThreads + threadIdx.x) / kLanes;
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
  if (warp >= tiles) return;
  const int32_t per_row = shape.leaves.total_tiles();
  const RowTile rows = row_tile(from, warp / per_row);
  const auto tile = static_cast<int32_t>(warp % per_row);
  const TileInputs inputs = tile_inputs(shape.leaves, tile);
  const int64_t row_bytes = int64_t{shape.leaves.inputs()} * kBits / 8;
  uint32_t words[kBits] = {};
#pragma unroll
  for (int reg = 0; reg < kLaneRegisters; ++reg) {
    const int row = row_of(lane, reg);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int input = input_of(lane, reg, half);
      if (row >= rows.rows || input >= inputs.count) continue;
      const auto* const source = reinterpret_cast<const uint32_t*>(
          static_cast<const uint8_t*>(from.codes) + (rows.first_row + row) * row_bytes);
      const uint32_t code = stored_code<kBits>(source, int64_t{inputs.begin} + input);
#pragma unroll
      for (int b = 0; b < kBits; ++b) {
        constexpr auto kPlace = [](int r, int h, int i) { return lane_bit(kCoding, r, h, i); };
        const LaneBit place = kPlace(reg, half, b);
        words[place.word] |= (code >> b & 1u) << place.bit;
      }
    }
  }
  auto* const out = static_cast<uint8_t*>(to.codes) + rows.matrix * shape.code_bytes() +
                    shape.tile_offset(to.first_row_tile + rows.in_matrix, tile);
#pragma unroll
  for (int word = 0; word < kBits; ++word)
    *reinterpret_cast<uint32_t*>(out + word_byte(kCoding, lane, word)) = words[word];
}

// A thread makes the scales that a lane reads of a block: of rows g and g + 8.
__global__ void pack_scales(PackedShape shape, PackSource from, PackTarget to, int64_t threads) {
  const int64_t index = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (index >= threads) return;
  const PackedFormat format = shape.format;
  const int g = static_cast<int>(index % 8);
  const int32_t per_row = shape.leaves.total_tiles() / format.tiles_per_block();
  const RowTile rows = row_tile(from, index / 8 / per_row);
  const auto tile = static_cast<int32_t>(index / 8 % per_row) * format.tiles_per_block();
  const TileInputs inputs = tile_inputs(shape.leaves, tile);
  auto* const out = static_cast<uint8_t*>(to.scales) + rows.matrix * shape.scale_bytes() +
                    shape.scale_offset(to.first_row_tile + rows.in_matrix, tile);
  const int64_t row_groups = shape.leaves.inputs() / format.group;
  uint32_t words[2] = {};  // of e4m3 scales
  for (int high = 0; high < 2; ++high) {
    const int row = g + 8 * high;
    for (int group = 0; group < format.groups_per_block(); ++group) {
      const bool there = row < rows.rows && group * format.group < inputs.count;
      const int64_t source =
          (rows.first_row + row) * row_groups + inputs.begin / format.group + group;
      const auto byte = [&] { return static_cast<const uint8_t*>(from.scales)[source]; };
      switch (format.scaling) {
        case Scaling::kNone:
          break;
        case Scaling::kE8M0:
          out[e8m0_byte(row, group)] = there ? byte() : uint8_t{0};
          break;
        case Scaling::kE4M3:
          for (int b = 0; there && b < 8; ++b) {
            const BitPlace place = e4m3_scale_bit(row, group, b);
            words[place.byte % 8 / 4] |= (byte() >> b & 1u) << place.bit;
          }
          break;
        case Scaling::kAffine16:
        case Scaling::kAffine32:
          for (int part = 0; part < 2; ++part) {
            const void* const array = part == 0 ? from.scales : from.biases;
            void* const at = out + affine_byte(format, row, group, part);
            if (format.scaling == Scaling::kAffine16)
              *static_cast<uint16_t*>(at) =
                  there ? static_cast<const uint16_t*>(array)[source] : uint16_t{0};
            else
              *static_cast<uint32_t*>(at) = there ? static_cast<const uint32_t*>(array)[source] : 0;
          }
          break;
      }
    }
  }
  if (format.scaling == Scaling::kE4M3)
    *reinterpret_cast<uint2*>(out + 8 * g) = make_uint2(words[0], words[1]);
}

unsigned blocks_of(int64_t threads) {
  return static_cast<unsigned>((threads + kThreads - 1) / kThreads);
}

template <Coding kCoding>
void launch_codes(const PackedShape& shape, const PackSource& from, const PackTarget& to,
                  int64_t tiles, cudaStream_t stream) {
  launch({"pack codes", blocks_of(tiles * kLanes), kThreads, 0, stream}, pack_codes<kCoding>, shape,
         from, to, tiles);
}

Coding affine_coding(int bits) {
  switch (bits) {
    case 2:
      return Coding::kUInt2;
    case 3:
      return Coding::kUInt3;
    case 4:
      return Coding::kUInt4;
    case 5:
      return Coding::kUInt5;
    case 6:
      return Coding::kUInt6;
    default:
      return Coding::kUInt8;
  }
}

}  // namespace

PackedFormat packed_format(Format format, DType scales) {
  switch (format.mode()) {
    case Mode::kAffine:
      return {affine_coding(format.bits()),
              scales == DType::kF32 ? Scaling::kAffine32 : Scaling::kAffine16, format.group_size()};
    case Mode::kMxfp4:
      return {Coding::kE2M1, Scaling::kE8M0, format.group_size()};
    case Mode::kMxfp8:
      return {Coding::kE4M3, Scaling::kE8M0, format.group_size()};
    case Mode::kNvfp4:
      return {Coding::kE2M1, Scaling::kE4M3, format.group_size()};
  }
  throw Error(ErrorKind::kInternal, "pack: no such mode");
}

void pack(const PackedShape& shape, const PackSource& from, const PackTarget& to,
          cudaStream_t stream) {
  if (from.rows == 0) return;
  const int64_t row_tiles =
      from.rows / from.matrix_rows * ((from.matrix_rows + kTileRows - 1) / kTileRows);
  const int64_t tiles = row_tiles * shape.leaves.total_tiles();
  switch (shape.format.coding) {
    case Coding::kUInt2:
      launch_codes<Coding::kUInt2>(shape, from, to, tiles, stream);
      break;
    case Coding::kUInt3:
      launch_codes<Coding::kUInt3>(shape, from, to, tiles, stream);
      break;
    case Coding::kUInt4:
      launch_codes<Coding::kUInt4>(shape, from, to, tiles, stream);
      break;
    case Coding::kUInt5:
      launch_codes<Coding::kUInt5>(shape, from, to, tiles, stream);
      break;
    case Coding::kUInt6:
      launch_codes<Coding::kUInt6>(shape, from, to, tiles, stream);
      break;
    case Coding::kUInt8:
      launch_codes<Coding::kUInt8>(shape, from, to, tiles, stream);
      break;
    case Coding::kE2M1:
      launch_codes<Coding::kE2M1>(shape, from, to, tiles, stream);
      break;
    case Coding::kE4M3:
      launch_codes<Coding::kE4M3>(shape, from, to, tiles, stream);
      break;
    case Coding::kDense:
      launch_codes<Coding::kDense>(shape, from, to, tiles, stream);
      break;
  }
  if (shape.format.scaling == Scaling::kNone) return;
  const int64_t threads = tiles / shape.format.tiles_per_block() * 8;
  launch({"pack scales", blocks_of(threads), kThreads, 0, stream}, pack_scales, shape, from, to,
         threads);
}

}  // namespace strake::cuda
