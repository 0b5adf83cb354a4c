// What changes logits before they become probabilities: bias and penalties.
#pragma once

#include <cstdint>
#include <span>

#include "engine/sampling_options.h"

namespace strake {

// Adds the bias, then applies the penalties to the tokens of the history. Throws Error(kUsage) on
// tokens that the vocabulary does not have.
void process_logits(std::span<float> logits,  // [vocabulary]
                    std::span<const int32_t> history, const SamplingOptions& options);

}  // namespace strake
