// Rotary position embedding as checkpoints configure it.
#pragma once

#include "io/model_config.h"
#include "strake/ops/backend.h"

namespace strake {

// From rope_theta and rope_scaling, or rope_parameters, which holds both. Types: default, linear
// (positions / factor), llama3 (long wavelengths slowed by factor, short ones kept, a ramp
// between). Throws Error(kUnsupported) that lists them for others, Error(kCheckpoint) for bad
// fields.
RopeTable make_rope(const ModelConfig& config, int64_t dims, double default_theta);

}  // namespace strake
