// Loose tensors are no matrix.
// fails: no matching function for call to .strake::QuantizedMatrix::QuantizedMatrix\(
// fails: no matching constructor for initialization of .(strake::)?QuantizedMatrix
#include "strake/quant/quantize.h"

using namespace strake;

QuantizedParts parts(Tensor codes, Tensor scales) { return {std::move(codes), std::move(scales)}; }

#ifdef STRAKE_MUST_NOT_COMPILE
QuantizedMatrix loose(Tensor codes, Tensor scales) { return QuantizedMatrix(codes, scales); }
#endif
