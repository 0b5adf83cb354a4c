#include "ops/cuda/codes.h"
#include "ops/cuda/launch.h"
#include "ops/cuda/packed_rows.h"
#include "ops/cuda/ptx.h"

namespace strake::cuda {
namespace {

constexpr int kThreads = 256;

__device__ uint32_t bit_at(const uint8_t* tile, BitPlace place) {
  return *reinterpret_cast<const uint32_t*>(tile + place.byte) >> place.bit & 1u;
}

__device__ uint32_t code_of(Coding coding, const uint8_t* tile, int row, int element) {
  const LanePlace at = lane_place(row, element);
  uint32_t code = 0;
  for (int b = 0; b < code_bits(coding); ++b)
    code |= bit_at(tile, code_bit(coding, at.lane, at.reg, at.half, b)) << b;
  return code;
}

// A scale or bias of the group.
__device__ float affine_part(const PackedFormat& format, DType dtype, const uint8_t* block, int row,
                             int group, int part) {
  return load_floating(block + affine_byte(format, row, group, part), dtype, 0);
}

__device__ float value_of(const PackedWeight& weight, const uint8_t* tile, const uint8_t* scales,
                          int row, int element) {
  const PackedFormat& format = weight.shape.format;
  const uint32_t code = code_of(format.coding, tile, row, element);
  const int group = element / format.group;  // 0 where a group spans tiles
  switch (format.scaling) {
    case Scaling::kNone:
      return weight.dtype == DType::kF16
                 ? to_float(__ushort_as_half(static_cast<unsigned short>(code)))
                 : __uint_as_float(code << 16);
    case Scaling::kAffine16:
    case Scaling::kAffine32:
      return __fadd_rn(__fmul_rn(affine_part(format, weight.dtype, scales, row, group, 0),
                                 static_cast<float>(code)),
                       affine_part(format, weight.dtype, scales, row, group, 1));
    case Scaling::kE8M0: {
      const float scale = E8M0::decode(scales[e8m0_byte(row, group)]);
      return __fmul_rn(scale, format.coding == Coding::kE4M3
                                  ? E4M3::decode(static_cast<uint8_t>(code))
                                  : decode_e2m1(code));
    }
    case Scaling::kE4M3: {
      uint32_t byte = 0;
      for (int b = 0; b < 8; ++b) byte |= bit_at(scales, e4m3_scale_bit(row, group, b)) << b;
      const float scale = E4M3::decode(static_cast<uint8_t>(byte));
      return __fmul_rn(__fmul_rn(scale, weight.tensor_scale), decode_e2m1(code));
    }
  }
  return 0;
}

// Blocks of a row have kThreads of its columns each.
__global__ void rows_kernel(PackedWeight weight, const int32_t* ids, float* out) {
  begin_after_predecessor();
  const PackedShape& shape = weight.shape;
  const int32_t row = ids[blockIdx.x];
  const int32_t inputs = shape.leaves.inputs();
  const auto k = static_cast<int32_t>(blockIdx.y * kThreads + threadIdx.x);
  if (k >= inputs) return;
  const int32_t tile = shape.tile_of(k);
  const auto* const codes =
      static_cast<const uint8_t*>(weight.codes) + shape.tile_offset(row / kTileRows, tile);
  const auto* const scales =
      static_cast<const uint8_t*>(weight.scales) + shape.scale_offset(row / kTileRows, tile);
  out[int64_t{blockIdx.x} * inputs + k] =
      value_of(weight, codes, scales, row % kTileRows, shape.element_of(k));
}

}  // namespace

void packed_rows(const PackedWeight& weight, const int32_t* ids, int64_t count, float* out,
                 cudaStream_t stream) {
  const int32_t inputs = weight.shape.leaves.inputs();
  if (count == 0 || inputs == 0) return;
  const auto blocks = static_cast<unsigned>((inputs + kThreads - 1) / kThreads);
  launch({"rows of a weight",
          {static_cast<unsigned>(count), blocks},
          kThreads,
          0,
          stream,
          Order::kOverlapping},
         rows_kernel, weight, ids, out);
}

}  // namespace strake::cuda
