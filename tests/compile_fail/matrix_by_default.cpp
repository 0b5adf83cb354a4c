// There is no matrix without content, to be filled in later.
// fails: no matching function for call to .strake::QuantizedMatrix::QuantizedMatrix\(\)
// fails: no matching constructor for initialization of .(strake::)?QuantizedMatrix
#include "strake/quant/quantize.h"

using namespace strake;

QuantizedMatrix copy(const QuantizedMatrix& matrix) { return matrix; }

#ifdef STRAKE_MUST_NOT_COMPILE
QuantizedMatrix empty() { return QuantizedMatrix(); }
#endif
