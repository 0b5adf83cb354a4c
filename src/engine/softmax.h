// Logits to probabilities, with the bits of MLX.
#pragma once

#include <span>

namespace strake {

using Row = std::span<float>;  // [vocabulary]

// e^x for x <= 0.
float exponential(float x);

float largest_of(std::span<const float> row);

// Each x becomes e^(x - largest). Returns their sum, added from the first to the last.
float exponentiate(Row row);

void to_log_probabilities(Row row);

}  // namespace strake
