// Rotary position embedding as checkpoints configure it.
#pragma once

#include "io/model_config.h"
#include "strake/ops/backend.h"

namespace strake {

// From rope_theta and rope_scaling, or rope_parameters, which holds both. Types: default, linear
// (positions / factor), llama3 (long wavelengths slowed by factor, short ones kept, a ramp
// between), yarn (the same by rotations, and a magnitude, arXiv:2309.00071), longrope (a factor for
// each pair, arXiv:2402.13753: the long ones at all lengths, as mlx-lm has it). Throws
// Error(kUnsupported) that lists them for others, Error(kCheckpoint) for bad fields.
RopeTable make_rope(const ModelConfig& config, int64_t dims, double default_theta);

// Where layers of a model turn by different parameters: `scaling` alone has the type and its
// fields, and rope_theta where it is not `theta`.
RopeTable make_rope(const ModelConfig& config, const std::optional<ModelConfig>& scaling,
                    int64_t dims, double theta);

// Leading elements of a head that turn: partial_rotary_factor of them, all without one.
int64_t rotary_dims(const ModelConfig& config, int64_t head_dim);

// What yarn's mscale_all_dim multiplies the scores with; 1 for other types.
float rope_score_scale(const ModelConfig& config);

}  // namespace strake
