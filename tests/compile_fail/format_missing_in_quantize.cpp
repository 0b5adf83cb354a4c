// Quantizing names the format.
// fails: cannot convert .*to .strake::Format.
// fails: could not convert .*to .strake::Format.
// fails: no matching function for call to .quantize
#include "strake/quant/quantize.h"

using namespace strake;

QuantizedMatrix with_format(const Tensor& weight, Format format) {
  return quantize(weight, format, Encoder::kLeastError);
}

#ifdef STRAKE_MUST_NOT_COMPILE
QuantizedMatrix without(const Tensor& weight) { return quantize(weight, Encoder::kLeastError); }
#endif
