// Positions and tokens as they are at a call: the device of this backend is the host.
#pragma once

#include <cstdint>
#include <span>

#include "strake/ops/position.h"

namespace strake::cpu {

inline int64_t now(const Position& position) {
  return position.on_device != nullptr ? *position.on_device : position.first;
}

inline std::span<const int32_t> now(const TokenIds& ids) {
  return ids.on_device != nullptr ? ids.on_device->data<int32_t>() : ids.ids;
}

}  // namespace strake::cpu
