// Experts that files do not hold as MLX's stacks.
#include <algorithm>
#include <cstring>
#include <utility>

#include "base/fail.h"
#include "io/checkpoint.h"
#include "quant/stack_builder.h"

namespace strake {
namespace {

constexpr int64_t kBlockBytes = 16;  // of a group of mxfp4
constexpr int64_t kBlockWords = kBlockBytes / 4;

// Every second element of an axis, from `first` on.
Tensor every_second(const Tensor& tensor, int axis, int first) {
  const Shape shape = tensor.shape().with(axis, tensor.shape()[axis] / 2);
  Tensor result = Tensor::empty(tensor.dtype(), shape, tensor.device());
  if (tensor.device().kind == DeviceKind::kMeta) return result;
  int64_t inner = size_of(tensor.dtype());
  for (int i = axis + 1; i < shape.rank(); ++i) inner *= shape[i];
  const std::byte* from = tensor.bytes().data() + first * inner;
  std::byte* to = result.mutable_bytes().data();
  for (int64_t left = result.nbytes(); left > 0; left -= inner, from += 2 * inner, to += inner)
    std::memcpy(to, from, static_cast<size_t>(inner));
  return result;
}

// [stack, a, b] -> [stack, b, a].
Tensor transposed(const Tensor& stack) {
  const int64_t rows = stack.shape()[1], columns = stack.shape()[2];
  Tensor result = Tensor::empty(stack.dtype(), {stack.shape()[0], columns, rows}, stack.device());
  if (stack.device().kind == DeviceKind::kMeta) return result;
  const auto size = static_cast<size_t>(size_of(stack.dtype()));
  const std::byte* from = stack.bytes().data();
  std::byte* const to = result.mutable_bytes().data();
  for (int64_t matrix = 0; matrix < stack.shape()[0]; ++matrix)
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = 0; j < columns; ++j, from += size)
        std::memcpy(to + static_cast<size_t>((matrix * columns + j) * rows + i) * size, from, size);
  return result;
}

// The same bytes as uint32 of another shape.
Tensor as_words(const Tensor& bytes, Shape shape) {
  Tensor words = Tensor::empty(DType::kU32, std::move(shape), bytes.device());
  if (bytes.device().kind != DeviceKind::kMeta)
    std::ranges::copy(bytes.bytes(), words.mutable_bytes().begin());
  return words;
}

// The cut of a tensor that holds `factor` elements for each of the axis.
std::optional<Cut> widened(std::optional<Cut> cut, int axis, int64_t factor) {
  if (!cut || cut->axis != axis) return cut;
  for (Range& range : cut->ranges) range = {range.begin * factor, range.end * factor};
  return cut;
}

}  // namespace

std::optional<ExpertForm> Checkpoint::expert_form(const std::string& module) const {
  return find_expert_form(module, [&](const std::string& name) { return has(name); });
}

bool Checkpoint::has_scales(const ExpertForm& form) const {
  switch (form.kind) {
    case ExpertForm::Kind::kSeparate:
      return has(form.separate(0) + ".scales") || has(form.separate(0) + ".weight_packed");
    case ExpertForm::Kind::kBlocks:
      return true;
    case ExpertForm::Kind::kFused:
    case ExpertForm::Kind::kInTurn:
      return false;
  }
  return false;
}

Tensor Checkpoint::both_halves(const std::string& name, int half, const std::optional<Cut>& cut) {
  const auto kept = halves_.find(name);
  if (kept != halves_.end() && kept->second.cut == cut && kept->second.half != half)
    return halves_.extract(kept).mapped().both;
  return halves_.insert_or_assign(name, ReadHalves{cut, half, read(name, cut)}).first->second.both;
}

Tensor Checkpoint::read_in_turn(const std::string& name, int axis, const ExpertForm& form,
                                const std::optional<Cut>& cut) {
  if (!form.half) return read(name, cut);
  return every_second(both_halves(name, *form.half, widened(cut, axis, 2)), axis, *form.half);
}

Tensor Checkpoint::fused_experts(const ExpertForm& form, const Shape& shape,
                                 const std::optional<Cut>& cut) {
  const std::string name = form.fused();
  if (!form.half) return tensor(name, shape, cut);
  const int64_t first = *form.half * shape[1];
  expect_floating(name, shape.with(1, 2 * shape[1]));
  if (cut && cut->axis != 1)
    return both_halves(name, *form.half, cut).slice(1, first, first + shape[1]);
  Cut rows = cut.value_or(Cut{1, {{0, shape[1]}}});
  for (Range& range : rows.ranges) range = {range.begin + first, range.end + first};
  return read(name, rows);
}

Weight Checkpoint::experts(const std::string& module, const ExpertForm& form, const Shape& shape,
                           const std::optional<Cut>& cut) {
  switch (form.kind) {
    case ExpertForm::Kind::kSeparate:
      return separate_experts(module, form, shape, cut);
    case ExpertForm::Kind::kBlocks:
      return block_experts(module, form, shape, cut);
    case ExpertForm::Kind::kFused:
      return fused_experts(form, shape, cut);
    case ExpertForm::Kind::kInTurn: {
      const std::string name = form.fused();
      expect_floating(name, {shape[0], shape[2], form.half ? 2 * shape[1] : shape[1]});
      auto turned = cut;
      if (turned && turned->axis != 0) turned->axis = 3 - turned->axis;
      return transposed(read_in_turn(name, 2, form, turned));
    }
  }
  fail(ErrorKind::kInternal, "{}: no such form", module);
}

Weight Checkpoint::separate_experts(const std::string& module, const ExpertForm& form,
                                    const Shape& shape, const std::optional<Cut>& cut) {
  const Cut none{0, {}};
  const bool by_expert = cut && cut->axis == 0;
  const auto of_each =
      cut && !by_expert ? std::optional(Cut{cut->axis - 1, cut->ranges}) : std::nullopt;
  const auto is_held = [&](int64_t expert) {
    return !by_expert || std::ranges::any_of(cut->ranges, [&](const Range& range) {
      return range.begin <= expert && expert < range.end;
    });
  };
  const Shape each{shape[1], shape[2]};
  StackBuilder stack(module, shape_of_cut(shape, by_expert ? cut : std::nullopt)[0],
                     shape_of_cut(each, of_each)[0]);
  // Of the others nothing is read, but they must be there.
  for (int64_t expert = 0; expert < shape[0]; ++expert)
    stack.add(weight(form.separate(expert), each, is_held(expert) ? of_each : none));
  return std::move(stack).finish();
}

Weight Checkpoint::block_experts(const std::string& module, const ExpertForm& form,
                                 const Shape& shape, const std::optional<Cut>& cut) {
  const auto format = this->format(module, shape[2]);
  if (!format || format->mode() != Mode::kMxfp4)
    fail(ErrorKind::kCheckpoint, "{}: config.json says {}, but there is a tensor {}_blocks", module,
         format ? format->to_string() : "that it is not quantized", form.fused());
  const std::string blocks = form.fused() + "_blocks";
  const std::string scales = form.fused() + "_scales";
  const int64_t groups = shape[2] / format->group_size();
  const int64_t rows = form.half ? 2 * shape[1] : shape[1];
  for (const std::string& name : {blocks, scales})
    if (use(name).dtype != DType::kU8)
      fail(ErrorKind::kCheckpoint, "{}: U8 expected, found {}", name, use(name).stored_dtype);
  expect_shape(blocks, {shape[0], rows, groups, kBlockBytes});
  expect_shape(scales, {shape[0], rows, groups});
  const auto in_groups =
      cut && cut->axis == 2 ? rescale(module, cut, format->group_size(), 1) : cut;
  const Tensor codes = read_in_turn(blocks, 1, form, in_groups);
  const Shape& found = codes.shape();
  auto matrix =
      QuantizedMatrix::make(module, *format,
                            {as_words(codes, {found[0], found[1], found[2] * kBlockWords}),
                             read_in_turn(scales, 1, form, in_groups)});
  matrix.require_finite_scales(module);
  return matrix;
}

Tensor Checkpoint::expert_bias(const ExpertForm& form, const Shape& shape,
                               const std::optional<Cut>& cut) {
  const std::string name = form.fused() + "_bias";
  expect_floating(name, form.half ? shape.with(1, 2 * shape[1]) : shape);
  return read_in_turn(name, 1, form, cut);
}

}  // namespace strake
