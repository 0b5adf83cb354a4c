#include "ops/cuda/few_rows.h"

#include <algorithm>
#include <limits>

#include "ops/cuda/few_rows_instances.h"
#include "ops/cuda/few_rows_plan.h"
#include "ops/cuda/fragments.h"

namespace strake::cuda {
namespace {

FewRowsInstance find_instance(const PackedWeight& weight, DType x, FewRowsVariant variant) {
  const PackedFormat format = weight.shape.format;
  switch (format.coding) {
    case Coding::kUInt2:
      return few_rows_instance<Coding::kUInt2>(format, variant);
    case Coding::kUInt3:
      return few_rows_instance<Coding::kUInt3>(format, variant);
    case Coding::kUInt4:
      return few_rows_instance<Coding::kUInt4>(format, variant);
    case Coding::kUInt5:
      return few_rows_instance<Coding::kUInt5>(format, variant);
    case Coding::kUInt6:
      return few_rows_instance<Coding::kUInt6>(format, variant);
    case Coding::kUInt8:
      return few_rows_instance<Coding::kUInt8>(format, variant);
    case Coding::kE2M1:
      return few_rows_instance<Coding::kE2M1>(format, variant);
    case Coding::kE4M3:
      return few_rows_instance<Coding::kE4M3>(format, variant);
    case Coding::kDense:
      if (weight.dtype == DType::kBF16) return few_rows_instance<Coding::kDense>(format, variant);
      return x == DType::kF16 ? few_rows_instance_f16(variant) : FewRowsInstance{};
  }
  return {};
}

// Float16 activations are two bfloat16 each, but where the weights are float16 themselves.
bool in_halves(const FewRowsCall& call) {
  const bool f16_weights =
      call.weight.shape.format.coding == Coding::kDense && call.weight.dtype == DType::kF16;
  return call.x_dtype == DType::kF16 && !f16_weights;
}

bool whole_in_shared(const FewRowsCall& call) {
  const Leaves& leaves = call.weight.shape.leaves;
  bool whole = !in_halves(call) && reinterpret_cast<uintptr_t>(call.x) % 16 == 0 &&
               call.x_stride % 8 == 0 && leaves.inputs() % 8 == 0;
  for (int leaf = 1; leaf < leaves.count; ++leaf)
    whole = whole && leaves.cuts[leaf] % kTileInputs == 0;
  return whole;
}

OutType out_type(DType dtype) {
  if (dtype == DType::kF32) return OutType::kF32;
  if (dtype == DType::kBF16) return OutType::kBF16;
  if (dtype == DType::kF16) return OutType::kF16;
  throw Error(ErrorKind::kInternal, "few rows: a floating result expected");
}

int bytes_of(OutType type) { return type == OutType::kF32 ? 4 : 2; }

int out_rows(const FewRowsCall& call) {
  if (call.experts.tokens > 0) return call.experts.tokens;
  return call.experts.rows > 0 ? call.experts.rows : call.x_rows;
}

FewRowsMatrix matrix_of(const PackedWeight& weight, void* out, DType out_dtype, int first_tile) {
  float factor = weight.tensor_scale;
  if (weight.shape.format.scaling == Scaling::kE4M3)
    factor *= static_cast<float>(1 << -kNvfp4Exponent);
  return {static_cast<const uint8_t*>(weight.codes),
          static_cast<const uint8_t*>(weight.scales),
          out,
          out_type(out_dtype),
          weight.shape.rows,
          static_cast<uint32_t>(weight.shape.code_bytes()),
          static_cast<uint32_t>(weight.shape.scale_bytes()),
          factor,
          first_tile};
}

// All matrices of the call; p.row_tiles too.
void set_matrices(FewRowsParameters& p, const FewRowsCall& call) {
  if (std::ssize(call.joined) >= kMostJoined || (call.experts.tokens > 0 && !call.joined.empty()))
    throw Error(ErrorKind::kInternal, "few rows: fewer matrices expected");
  for (FewRowsMatrix& absent : p.matrices) absent.first_tile = std::numeric_limits<int>::max();
  p.matrices[0] = matrix_of(call.weight, call.out, call.out_dtype, 0);
  p.row_tiles = call.weight.shape.row_tiles();
  for (size_t i = 0; i < call.joined.size(); ++i) {
    const JoinedProduct& joined = call.joined[i];
    if (!can_join(call.weight, joined.weight))
      throw Error(ErrorKind::kInternal, "few rows: weights of one format expected");
    p.matrices[i + 1] = matrix_of(joined.weight, joined.out, joined.out_dtype, p.row_tiles);
    p.row_tiles += joined.weight.shape.row_tiles();
  }
}

Matrices matrices_of(const FewRowsCall& call) {
  if (call.experts.rows == 0) return Matrices::kOne;
  return call.experts.tokens > 0 ? Matrices::kMixed : Matrices::kApart;
}

// Whether a kernel has columns enough, and numbers for rows and for where experts' matrices are.
bool fits(const FewRowsCall& call, const FewRowsParameters& p) {
  const ExpertRows& experts = call.experts;
  const int most_columns = p.x_halves == 2 ? 8 : 16;
  constexpr int kMostTiles = 1 << 15;  // Divisor is then right for as many and some more
  if (experts.rows == 0) return call.x_rows <= most_columns;
  const bool matrices_fit =
      call.weight.shape.code_bytes() <= std::numeric_limits<uint32_t>::max() &&
      p.row_tiles <= kMostTiles;
  return experts.rows <= ExpertRows::kMost && call.x_rows <= 65535 &&
         experts.tokens <= most_columns && matrices_fit;
}

struct Prepared {
  FewRowsParameters parameters;
  FewRowsInstance instance;
  FewRowsGrid grid;
};

// With the instance that there is for the call, or with `other`.
Prepared prepare(const FewRowsCall& call, const FewRowsDevice& device,
                 const FewRowsInstance* other) {
  const PackedShape& shape = call.weight.shape;
  Prepared prepared{};
  FewRowsParameters& p = prepared.parameters;
  set_matrices(p, call);
  p.row_codes = static_cast<uint32_t>(shape.tile_offset(1, 0));
  p.row_scales = static_cast<uint32_t>(shape.scale_offset(1, 0));
  p.leaves = shape.leaves;
  p.steps = call.steps;
  p.perfect = call.steps.perfect(shape.leaves.count) ? 1 : 0;
  p.f16_scales = call.weight.dtype == DType::kF16 ? 1 : 0;
  p.x = call.x;
  p.x_stride = call.x_stride;
  p.x_rows = call.x_rows;
  p.x_halves = in_halves(call) ? 2 : 1;
  p.x_whole = whole_in_shared(call) ? 1 : 0;
  p.out_rows = out_rows(call);
  p.experts = call.experts;
  // Columns that one matrix may have: rows, or, of experts, those that choose it.
  const int tokens = call.experts.tokens > 0 ? call.experts.tokens : call.x_rows;
  const int most_columns = std::min({out_rows(call), tokens, call.experts.most_rows});
  const int octets = p.x_halves == 2 || most_columns > 8 ? 2 : 1;
  const FewRowsVariant variant = {octets, matrices_of(call)};
  prepared.instance = other != nullptr ? *other : find_instance(call.weight, call.x_dtype, variant);
  if (prepared.instance.kernel == nullptr || !fits(call, p)) return prepared;
  prepared.grid =
      plan_few_rows(p, shape.format,
                    {prepared.instance.octets, prepared.instance.threads / kLanes,
                     prepared.instance.rings, device.multiprocessors, device.shared_bytes});
  return prepared;
}

// A call with so many rows that it can be done: 0 if none can.
int rows_at_once(FewRowsCall call, const FewRowsDevice& device, const FewRowsInstance* other) {
  for (; call.x_rows > 0; call.x_rows = (call.x_rows + 1) / 2) {
    if (prepare(call, device, other).grid.blocks > 0) return call.x_rows;
    if (call.x_rows == 1 || call.experts.rows > 0) return 0;
  }
  return 0;
}

int64_t leaf_sum_bytes(const FewRowsParameters& p) {
  const int groups = p.experts.tokens > 0 ? p.experts.groups : 1;
  return int64_t{groups} * p.leaves.count * p.out_rows * p.row_tiles * kTileRows * 4;
}

// Arrivals stand first, as many for every call: none finds another's sums there.
constexpr int64_t kArrivalBytes = kMaxArrivals * 4;

}  // namespace

FewRowsDevice few_rows_device() {
  int device = 0;
  FewRowsDevice found{};
  check(cudaGetDevice(&device), "current device");
  check(cudaDeviceGetAttribute(&found.multiprocessors, cudaDevAttrMultiProcessorCount, device),
        "multiprocessors");
  check(
      cudaDeviceGetAttribute(&found.shared_bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device),
      "shared memory of a block");
  return found;
}

bool can_join(const PackedWeight& a, const PackedWeight& b) {
  return a.shape.format == b.shape.format && a.dtype == b.dtype && a.shape.leaves == b.shape.leaves;
}

bool few_rows_can(const FewRowsCall& call, const FewRowsDevice& device) {
  return rows_at_once(call, device, nullptr) > 0;
}

int64_t few_rows_workspace_bytes(const FewRowsCall& call, const FewRowsDevice& device) {
  FewRowsCall part = call;
  part.x_rows = rows_at_once(call, device, nullptr);
  const Prepared prepared = prepare(part, device, nullptr);
  if (prepared.grid.blocks == 0 || prepared.parameters.slices == 1) return 0;
  return kArrivalBytes + leaf_sum_bytes(prepared.parameters);
}

void few_rows(const FewRowsCall& call, const FewRowsDevice& device,
              const FewRowsWorkspace& workspace, Order order, cudaStream_t stream) {
  few_rows_by(nullptr, call, device, workspace, {order, stream});
}

void few_rows_by(const FewRowsInstance* other, const FewRowsCall& call, const FewRowsDevice& device,
                 const FewRowsWorkspace& workspace, FewRowsPlace place) {
  const int at_once = rows_at_once(call, device, other);
  if (at_once == 0) throw Error(ErrorKind::kInternal, "few rows: the product cannot be done");
  for (int first = 0; first < call.x_rows; first += at_once) {
    FewRowsCall part = call;
    part.x = static_cast<const uint8_t*>(call.x) + int64_t{first} * call.x_stride * 2;
    part.x_rows = std::min(at_once, call.x_rows - first);
    Prepared prepared = prepare(part, device, other);
    FewRowsParameters& p = prepared.parameters;
    for (FewRowsMatrix& matrix : p.matrices)
      matrix.out = static_cast<uint8_t*>(matrix.out) +
                   int64_t{first} * matrix.outputs * bytes_of(matrix.out_type);
    p.node_rows = out_rows(call);
    if (p.slices > 1) {
      if (workspace.bytes < kArrivalBytes + leaf_sum_bytes(p))
        throw Error(ErrorKind::kInternal, "few rows: the workspace is too small");
      p.arrivals = static_cast<unsigned*>(workspace.memory);
      p.leaf_sums =
          reinterpret_cast<float*>(static_cast<uint8_t*>(workspace.memory) + kArrivalBytes);
    }
    launch({"few rows", static_cast<unsigned>(prepared.grid.blocks),
            static_cast<unsigned>(prepared.instance.threads),
            static_cast<size_t>(prepared.grid.shared_bytes), place.stream, place.order},
           prepared.instance.kernel, p);
  }
}

}  // namespace strake::cuda
