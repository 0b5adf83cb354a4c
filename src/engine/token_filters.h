// Which tokens may be drawn: top-p, min-p, XTC and top-k.
#pragma once

#include "engine/random.h"
#include "engine/sampling_options.h"
#include "engine/softmax.h"

namespace strake {

// Log-probabilities of tokens that `options` exclude become -infinity; the others are not
// normalised again. XTC draws one number of `random`. Throws Error(kUsage) on options that do not
// fit the vocabulary.
void filter_tokens(Row log_probabilities, const SamplingOptions& options, Random& random);

}  // namespace strake
