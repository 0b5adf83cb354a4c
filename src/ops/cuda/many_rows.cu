#include "ops/cuda/many_rows.h"

#include <cuda.h>

#include <algorithm>
#include <cstddef>

#include "ops/cuda/launch.h"
#include "ops/cuda/many_rows_start.h"

namespace strake::cuda {
namespace {

[[noreturn]] void unsupported(const char* what) {
  throw Error(ErrorKind::kUnsupported, std::string("product with many rows: ") + what);
}

// cuTensorMapEncodeTiled, without linking the driver's library.
auto tensor_map_encoder() {
  using Encode =
      CUresult (*)(CUtensorMap*, CUtensorMapDataType, cuuint32_t, void*, const cuuint64_t*,
                   const cuuint64_t*, const cuuint32_t*, const cuuint32_t*, CUtensorMapInterleave,
                   CUtensorMapSwizzle, CUtensorMapL2promotion, CUtensorMapFloatOOBfill);
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found;
  check(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000,
                                         cudaEnableDefault, &found),
        "cuTensorMapEncodeTiled");
  if (found != cudaDriverEntryPointSuccess) unsupported("the driver has no tensor maps");
  return reinterpret_cast<Encode>(function);
}

// x in boxes of 64 columns; what lies beyond it is zero.
CUtensorMap boxes_of(const ManyRowsActivations& x, int64_t columns, int rows) {
  CUtensorMap map;
  const cuuint64_t extents[] = {static_cast<cuuint64_t>(columns),
                                static_cast<cuuint64_t>(x.tokens)};
  const cuuint64_t strides[] = {static_cast<cuuint64_t>(x.stride) * 2};
  const cuuint32_t box[] = {kTileInputs, static_cast<cuuint32_t>(rows)};
  const cuuint32_t steps[] = {1, 1};
  const CUresult result = tensor_map_encoder()(
      &map,
      x.type == DType::kF16 ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16 : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 2,
      const_cast<void*>(x.data), extents, strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
      CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
      CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (result != CUDA_SUCCESS) unsupported("activations that no tensor map can have");
  return map;
}

ScaleType scale_type(DType type) {
  if (type == DType::kF32) return ScaleType::kF32;
  return type == DType::kF16 ? ScaleType::kF16 : ScaleType::kBf16;
}

PackedPointers pointers(const PackedWeight& w) {
  const PackedFormat& format = w.shape.format;
  return {static_cast<const uint8_t*>(w.codes),
          static_cast<const uint8_t*>(w.scales),
          scale_type(w.dtype),
          format.scale_block_bytes(),
          format.tiles_per_block(),
          format.groups_per_block()};
}

ManyRowsParameters parameters(const ManyRowsCall& call, const ManyRowsSchedule& schedule,
                              const ManyRowsTiling& tiling) {
  ManyRowsParameters p{};
  const PackedShape& shape = call.w.shape;
  p.out = call.out;
  p.type = call.out_dtype;
  p.outputs = shape.rows;
  p.tokens = static_cast<int>(call.x.tokens);
  p.row_tiles = shape.row_tiles();
  p.row_k_tiles = shape.leaves.total_tiles();
  p.share_x = tiling.share_x;
  p.pieces = tiling.pieces;
  p.in_memory = tiling.in_memory;
  const int row_blocks = (p.outputs + kBlockOutputs - 1) / kBlockOutputs;
  p.row_groups = (row_blocks + p.share_x - 1) / p.share_x;
  p.token_blocks = (p.tokens + tiling.tokens - 1) / tiling.tokens;
  p.band = std::max(1, 2048 / tiling.tokens);
  p.levels = shared_levels(tiling, schedule);
  p.deeper = call.workspace;
  p.deeper_levels = deeper_levels(tiling, schedule);
  if (tiling.in_memory) {
    p.piece_sums = call.workspace;
    p.arrivals = reinterpret_cast<unsigned*>(reinterpret_cast<std::byte*>(call.workspace) +
                                             call.device.multiprocessors * kDeeperBytes);
  }
  p.follows = call.follows;
  p.leads = call.leads;
  p.sum_factor = E2M1Fragment::sum_factor(shape.format.scaling, call.w.tensor_scale);
  std::copy(schedule.piece_tile.begin(), schedule.piece_tile.end(), p.piece_tile);
  std::copy(schedule.run_begin.begin(), schedule.run_begin.end(), p.run_begin);
  std::copy(schedule.sum_begin.begin(), schedule.sum_begin.end(), p.sum_begin);
  std::copy(schedule.runs.begin(), schedule.runs.end(), p.runs);
  std::copy(schedule.sums.begin(), schedule.sums.end(), p.sums);
  return p;
}

// Calls `start` with the fragment of the weight and x.
template <class Start>
void visit_fragment(const PackedWeight& w, DType x, Start&& start) {
  const auto affine = [&]<Coding kCode>() {
    if (x == DType::kF16) return start(F16Fragment<kCode>());
    if (w.dtype == DType::kBF16) return start(NativeFragment<kCode>());
    return start(FloatFragment<kCode>());
  };
  const Coding coding = w.shape.format.coding;
  if (x != DType::kBF16 && x != DType::kF16) unsupported("activations of 16 bits expected");
  if (coding == Coding::kDense && w.dtype != x)
    unsupported("x of the dense weight's type expected");
  if ((coding == Coding::kE2M1 || coding == Coding::kE4M3) && x != DType::kBF16)
    unsupported("x of bfloat16 expected");
  switch (coding) {
    case Coding::kUInt2:
      return affine.template operator()<Coding::kUInt2>();
    case Coding::kUInt3:
      return affine.template operator()<Coding::kUInt3>();
    case Coding::kUInt4:
      return affine.template operator()<Coding::kUInt4>();
    case Coding::kUInt5:
      return affine.template operator()<Coding::kUInt5>();
    case Coding::kUInt6:
      return affine.template operator()<Coding::kUInt6>();
    case Coding::kUInt8:
      return affine.template operator()<Coding::kUInt8>();
    case Coding::kE2M1:
      return start(E2M1Fragment());
    case Coding::kE4M3:
      return start(E4M3Fragment());
    case Coding::kDense:
      return x == DType::kF16 ? start(F16Dense()) : start(Bf16Dense());
  }
}

ManyRowsSize size_of(const ManyRowsCall& call) {
  return {call.x.tokens, call.w.shape.rows, call.device.multiprocessors, call.workspace != nullptr};
}

ManyRowsSchedule schedule_of(const ManyRowsNode& node, int64_t tokens, int pieces) {
  const SumOrder order{node.order, tokens};
  const auto schedule = many_rows_schedule(node.tree, node.node, node.begin, pieces, order);
  if (!schedule) unsupported("a sum tree that does not divide so");
  return *schedule;
}

}  // namespace

ManyRowsDevice many_rows_device() {
  int device = 0, count = 0, major = 0, minor = 0;
  check(cudaGetDevice(&device), "device");
  check(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device), "device");
  check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device), "device");
  check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device), "device");
  return {count, major == 9 && minor == 0};
}

int64_t many_rows_workspace_bytes(const ManyRowsDevice& device) {
  return device.has_wgmma ? many_rows_memory_bytes(device.multiprocessors) : 0;
}

bool takes_wgmma(const ManyRowsActivations& x) {
  return x.stride % 8 == 0 && reinterpret_cast<uintptr_t>(x.data) % 16 == 0;
}

void many_rows_wgmma(const ManyRowsCall& call, const ManyRowsNode& node,
                     const ManyRowsTiling& tiling) {
  const ManyRowsSchedule schedule = schedule_of(node, call.x.tokens, tiling.pieces);
  if (call.workspace == nullptr && (tiling.in_memory || deeper_levels(tiling, schedule) > 0))
    unsupported("a tiling that needs a workspace");
  if (tiling.in_memory && !can_meet_in_memory(tiling, size_of(call)))
    unsupported("a tiling that needs more of the workspace");
  ManyRowsParameters p = parameters(call, schedule, tiling);
  p.x = boxes_of(call.x, call.w.shape.leaves.inputs(), tiling.tokens / tiling.share_x);
  const PackedPointers weights = pointers(call.w);
  const ManyRowsStart start{p, weights, {}, tiling.tokens, call.device, call.stream};
  visit_fragment(call.w, call.x.type,
                 [&]<class Fragment>(Fragment) { start_wgmma<Fragment>(start); });
}

void many_rows_mma(const ManyRowsCall& call, const ManyRowsNode& node) {
  const ManyRowsSchedule schedule = schedule_of(node, call.x.tokens, 1);
  const ManyRowsParameters p = parameters(call, schedule, {64, 1, 1});
  const PackedPointers weights = pointers(call.w);
  const ManyRowsStart start{
      p,
      weights,
      {static_cast<const uint16_t*>(call.x.data), call.x.stride, call.w.shape.leaves.inputs()},
      64,
      call.device,
      call.stream};
  visit_fragment(call.w, call.x.type,
                 [&]<class Fragment>(Fragment) { start_mma<Fragment>(start); });
}

void many_rows(const ManyRowsCall& call, const PartialSums& sums, LeafOrder order) {
  const bool wgmma = call.device.has_wgmma && takes_wgmma(call.x);
  const ManyRowsSize size = size_of(call);
  ManyRowsCall part = call;
  PackedPlace begin;
  for (const int index : sums.nodes) {
    part.follows = call.follows && index == sums.nodes.front();
    part.leads = call.leads && index == sums.nodes.back();
    const ManyRowsNode node{sums.tree, index, begin, order};
    const auto tiling =
        wgmma ? choose_tiling(size, sums.tree, index, order) : std::optional<ManyRowsTiling>();
    if (tiling)
      many_rows_wgmma(part, node, *tiling);
    else
      many_rows_mma(part, node);
    part.out = static_cast<std::byte*>(part.out) +
               size.tokens * size.outputs * static_cast<int64_t>(size_of(call.out_dtype));
    begin.tile += packed_tiles(sums.tree, index);
    begin.column += static_cast<int>(sums.tree.node(index).end - sums.tree.node(index).begin);
  }
}

}  // namespace strake::cuda
