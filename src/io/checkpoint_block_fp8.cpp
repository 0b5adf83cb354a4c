// Weights of e4m3 elements with a scale for each block of rows and columns (DeepSeek-V3's
// `weight_scale_inv`).
#include <algorithm>
#include <utility>

#include "base/fail.h"
#include "io/checkpoint.h"
#include "quant/codecs.h"

namespace strake {
namespace {

// Elements begin .. of an axis, whose blocks are those from begin / extent on.
struct BlockAxis {
  int64_t begin;
  int64_t extent;  // of a block

  int64_t block(int64_t index) const { return (begin + index) / extent - begin / extent; }
};

// codes [rows, columns], scales float32 [blocks, blocks] -> bfloat16, each value rounded once.
Tensor decode_blocks(const Tensor& codes, const Tensor& scales, BlockAxis rows, BlockAxis columns) {
  Tensor values = Tensor::empty(DType::kBF16, codes.shape(), codes.device());
  if (codes.device().kind == DeviceKind::kMeta) return values;
  const auto in = codes.data<uint8_t>();
  const auto factors = scales.data<float>();
  const auto out = values.mutable_data<Bf16>();
  const int64_t width = codes.shape()[1];
  for (int64_t row = 0; row < codes.shape()[0]; ++row) {
    const auto of_row = factors.subspan(static_cast<size_t>(rows.block(row) * scales.shape()[1]));
    for (int64_t column = 0; column < width; ++column) {
      const auto at = static_cast<size_t>(row * width + column);
      out[at] = to_bf16(E4M3::decode(in[at]) * of_row[static_cast<size_t>(columns.block(column))]);
    }
  }
  return values;
}

int64_t blocks_of(int64_t extent, int64_t block) { return (extent + block - 1) / block; }

}  // namespace

Weight Checkpoint::block_fp8(const std::string& module, const Shape& shape,
                             const std::optional<Cut>& cut) {
  const std::string codes = module + ".weight";
  const std::string scales = module + ".weight_scale_inv";
  if (shape.rank() != 2)
    fail(ErrorKind::kUnsupported, "{}: blocks of e4m3 in a weight with {} axes", module,
         shape.rank());
  if (use(codes).stored_dtype != "F8_E4M3")
    fail(ErrorKind::kCheckpoint, "{}: F8_E4M3 expected beside {}, found {}", codes, scales,
         use(codes).stored_dtype);
  expect_shape(codes, shape);
  const auto [block_rows, block_columns] = quantization().fp8_block();
  tensor(scales, {blocks_of(shape[0], block_rows), blocks_of(shape[1], block_columns)}, Cut{0, {}});

  const Cut wanted = cut.value_or(Cut{0, {{0, shape[0]}}});
  const bool by_rows = wanted.axis == 0 || wanted.axis == -2;
  const int axis = by_rows ? 0 : 1;
  const int64_t block = by_rows ? block_rows : block_columns;
  std::vector<Tensor> pieces{Tensor::empty(DType::kBF16, shape.with(axis, 0), device())};
  for (const Range range : wanted.ranges) {
    const Range blocks{range.begin / block, blocks_of(range.end, block)};
    const Tensor factors = read(scales, Cut{axis, {blocks}}).to(DType::kF32);
    pieces.push_back(decode_blocks(read(codes, Cut{axis, {range}}), factors,
                                   {by_rows ? range.begin : 0, block_rows},
                                   {by_rows ? 0 : range.begin, block_columns}));
  }
  return pieces.size() == 2 ? pieces.back() : concatenate(pieces, axis);
}

}  // namespace strake
