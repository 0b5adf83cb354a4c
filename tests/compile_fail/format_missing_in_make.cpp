// Codes and scales become a matrix only together with a format.
// fails: no matching function for call to .strake::QuantizedMatrix::make
// fails: too few arguments to function call
#include "strake/quant/quantize.h"

using namespace strake;

QuantizedMatrix with_format(QuantizedParts parts, Format format) {
  return QuantizedMatrix::make("w", format, std::move(parts));
}

#ifdef STRAKE_MUST_NOT_COMPILE
QuantizedMatrix without(QuantizedParts parts) {
  return QuantizedMatrix::make("w", std::move(parts));
}
#endif
