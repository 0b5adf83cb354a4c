// A layer is made from a weight: codes and scales without a format are none.
// fails: no matching function for call to .strake::Linear::Linear\(
// fails: no matching constructor for initialization of .(strake::)?Linear
#include "strake/nn/linear.h"

using namespace strake;

Linear quantized(Format format, Tensor codes, Tensor scales) {
  return Linear(QuantizedMatrix::make("w", format, {std::move(codes), std::move(scales)}));
}

#ifdef STRAKE_MUST_NOT_COMPILE
Linear unclear(Tensor codes, Tensor scales, Tensor biases) { return Linear(codes, scales, biases); }
#endif
