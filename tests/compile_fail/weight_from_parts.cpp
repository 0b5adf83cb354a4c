// The tensors of a quantized weight are no weight without their format.
// fails: could not convert .*to .strake::Weight.
// fails: no viable conversion from returned value .*to function return type .(strake::)?Weight
#include "strake/quant/weight.h"

using namespace strake;

Weight quantized(Format format, QuantizedParts parts) {
  return QuantizedMatrix::make("w", format, std::move(parts));
}

#ifdef STRAKE_MUST_NOT_COMPILE
Weight unclear(QuantizedParts parts) { return parts; }
#endif
