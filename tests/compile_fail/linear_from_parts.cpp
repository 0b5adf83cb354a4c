// A divided layer's part is a weight too: the parts of a quantized matrix do not become one.
// fails: cannot convert .strake::QuantizedParts. to .strake::Weight.
// fails: no viable conversion from .strake::QuantizedParts. to .strake::Weight.
#include "strake/nn/linear.h"

using namespace strake;

Linear divided(Format format, QuantizedParts parts, Partition outputs) {
  return Linear::all_to_sharded(QuantizedMatrix::make("w", format, std::move(parts)), std::nullopt,
                                std::move(outputs));
}

#ifdef STRAKE_MUST_NOT_COMPILE
Linear unclear(QuantizedParts parts, Partition outputs) {
  return Linear::all_to_sharded(parts, std::nullopt, std::move(outputs));
}
#endif
