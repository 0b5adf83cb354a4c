#include "strake/ops/cache_rows.h"

#include <algorithm>
#include <utility>

#include "base/fail.h"
#include "strake/quant/quantize.h"

namespace strake {
namespace {

QuantizedMatrix make_quantized(const CacheStorage& storage, const Shape& shape,
                               const Place& place) {
  const Format format = *storage.format;
  if (shape[2] % format.group_size() != 0)
    fail(ErrorKind::kUsage, "a cache in {}: rows of {} elements are not whole groups",
         format.to_string(), shape[2]);
  const Shape groups = shape.with(2, shape[2] / format.group_size());
  const DType scale = format.has_biases() ? storage.dtype : DType::kU8;
  QuantizedParts parts{Tensor::empty(DType::kU32, shape.with(2, format.words(shape[2])), place),
                       Tensor::empty(scale, groups, place)};
  if (format.has_biases()) parts.biases = Tensor::empty(scale, groups, place);
  return QuantizedMatrix::make("cache", format, std::move(parts));
}

}  // namespace

CacheRows::CacheRows(Weight rows, DType dtype, std::optional<int64_t> window)
    : rows_(std::move(rows)), dtype_(dtype), window_(window) {
  if (shape().rank() != 3)
    fail(ErrorKind::kUsage, "a cache [heads, slots, width] expected, found {}",
         shape().to_string());
}

CacheRows::CacheRows(Tensor dense) : CacheRows(Weight(dense), dense.dtype(), std::nullopt) {}

CacheRows CacheRows::make(const CacheStorage& storage, const Shape& shape,
                          std::optional<int64_t> window, const Place& place) {
  Shape kept = shape;
  if (window) {
    const int64_t ring = (*window + kRingUnit - 1) / kRingUnit * kRingUnit + kRingUnit;
    if (ring < shape[1])
      kept = shape.with(1, ring);
    else
      window.reset();
  }
  if (!storage.format) return {Tensor::empty(storage.dtype, kept, place), storage.dtype, window};
  return {make_quantized(storage, kept, place), storage.dtype, window};
}

Tensor CacheRows::first_rows(int64_t count) const {
  if (is_ring()) fail(ErrorKind::kUsage, "first_rows: positions of a ring stand elsewhere");
  const Weight rows = rows_.slice(1, 0, count);
  return rows.dense() != nullptr ? *rows.dense() : dequantize(*rows.quantized(), dtype_);
}

bool CacheRows::holds(int64_t length, int64_t written) const {
  return !is_ring() || std::max<int64_t>(0, length - *window_ + 1) >= written - shape()[1];
}

}  // namespace strake
