// Where rows stand, and which tokens they are, in steps that may be run again with others.
#pragma once

#include <cstdint>
#include <span>

#include "strake/tensor/tensor.h"

namespace strake {

// Thrown by an operation that needs the host, where it shall be run again without it: within
// Backend::record(), or with positions and tokens that are read where the backend computes.
struct NotRecordable {};

// The position of a sequence's first row.
struct Position {
  int64_t first = 0;  // now
  // int32 [1] where the backend computes: what is read each time. Only one row stands there.
  const int32_t* on_device = nullptr;
  int64_t most = 0;  // with `on_device`, the last that it is going to be

  Position() = default;
  Position(int64_t at) : first(at), most(at) {}  // NOLINT: known to the host
  Position(int64_t now, const int32_t* at, int64_t last) : first(now), on_device(at), most(last) {}

  // Of the row that stands so many rows later.
  Position operator+(int64_t rows) const {
    if (rows == 0) return *this;
    if (on_device != nullptr) throw NotRecordable();
    return first + rows;
  }
};

struct TokenIds {
  std::span<const int32_t> ids;  // now
  // int32 [ids] where the backend computes: what is read each time, and not checked; or none.
  const Tensor* on_device = nullptr;

  TokenIds(std::span<const int32_t> of) : ids(of) {}  // NOLINT: known to the host
  TokenIds(std::span<const int32_t> now, const Tensor* at) : ids(now), on_device(at) {}

  int64_t count() const { return std::ssize(ids); }
};

// Rows [begin, end) of a divided table: part `part` holds them, from its row `first` on. What all
// parts hold is a list of these, in any order.
struct HeldRows {
  int64_t begin;
  int64_t end;
  int64_t part;
  int64_t first;
};

}  // namespace strake
