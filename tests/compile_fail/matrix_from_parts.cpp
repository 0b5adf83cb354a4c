// The one way to a matrix is the factory, which checks it.
// fails: is private within this context
// fails: calling a private constructor
#include "strake/quant/quantize.h"

using namespace strake;

QuantizedMatrix checked(Format format, QuantizedParts parts) {
  return QuantizedMatrix::make("w", format, std::move(parts));
}

#ifdef STRAKE_MUST_NOT_COMPILE
QuantizedMatrix unchecked(Format format, Shape shape, QuantizedParts parts) {
  return QuantizedMatrix(format, shape, parts);
}
#endif
