// Whether a model and its caches have room in the devices' memory, before anything is loaded.
#pragma once

#include <cstdint>

#include "io/model_source.h"
#include "nn/division.h"
#include "strake/comm/group.h"
#include "strake/ops/cache_rows.h"

namespace strake {

struct RoomOnRank {
  int64_t tokens;  // of all caches
  CacheStorage storage;
  int64_t free;             // bytes of the memory where this rank computes
  int64_t prompt_rows = 0;  // of a prompt, that are computed at once
};

// All ranks call it. Throws Error(kSystem) on all of them where one has too little, with what it
// needs, what is free, and what would fit.
void require_room(Group& group, const ModelSource& source, const Division& division,
                  const RoomOnRank& room);

}  // namespace strake
