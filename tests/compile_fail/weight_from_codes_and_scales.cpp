// Codes and scales are no weight: nothing says how they become numbers.
// fails: no matching function for call to .strake::Weight::Weight\(
// fails: no matching constructor for initialization of .(strake::)?Weight
#include "strake/quant/weight.h"

using namespace strake;

Weight quantized(Format format, Tensor codes, Tensor scales) {
  return QuantizedMatrix::make("w", format, {std::move(codes), std::move(scales)});
}

#ifdef STRAKE_MUST_NOT_COMPILE
Weight unclear(Tensor codes, Tensor scales) { return Weight(codes, scales); }
#endif
