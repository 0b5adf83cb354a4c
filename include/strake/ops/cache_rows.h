// Rows that attention keeps of the tokens seen so far.
#pragma once

#include <cstdint>
#include <optional>

#include "strake/quant/weight.h"

namespace strake {

// What rows are kept in: their dtype, or a format that their numbers are quantized to.
struct CacheStorage {
  DType dtype;
  std::optional<Format> format;

  CacheStorage(DType as, std::optional<Format> in = std::nullopt)  // NOLINT: a dtype alone will do
      : dtype(as), format(in) {}
};

// Windows are kept in whole units of so many positions, the most that is stored at once.
inline constexpr int64_t kRingUnit = 256;

// Rows by head, [heads, slots, width], dense or with the format of their codes. Position p stands
// in slot p, or, of a ring, in slot p mod slots.
class CacheRows {
 public:
  CacheRows(Tensor dense);  // NOLINT: floating [heads, slots, width]
  // Room for `shape`, [heads, capacity, width]. Where queries see no more than a window and a ring
  // is shorter than the capacity, a ring: whole units that hold the window, and one more, so that
  // kRingUnit positions are stored before the first of them is attended to. Throws Error(kUsage)
  // for a width that is not whole groups of the format.
  static CacheRows make(const CacheStorage& storage, const Shape& shape,
                        std::optional<int64_t> window, const Place& place);

  const Shape& shape() const { return rows_.shape(); }
  DType dtype() const { return dtype_; }  // what rows are stored from and read as
  const Tensor* dense() const { return rows_.dense(); }
  const QuantizedMatrix* quantized() const { return rows_.quantized(); }
  int64_t nbytes() const { return rows_.nbytes(); }

  // The first `count` positions, [heads, count, width] of the dtype; not of rings.
  Tensor first_rows(int64_t count) const;

  bool is_ring() const { return window_.has_value(); }
  int64_t slot(int64_t position) const { return is_ring() ? position % shape()[1] : position; }
  // Whether, after `written` positions, all that a query at `length` sees of the first `length` is
  // still there.
  bool holds(int64_t length, int64_t written) const;

 private:
  CacheRows(Weight rows, DType dtype, std::optional<int64_t> window);

  Weight rows_;
  DType dtype_;
  std::optional<int64_t> window_;  // of a ring
};

}  // namespace strake
