// The parts of a matrix are read, not replaced.
// fails: passing .const strake::Tensor. as .this. argument discards qualifiers
// fails: no viable overloaded .=.
#include "strake/quant/quantize.h"

using namespace strake;

Tensor read(const QuantizedMatrix& matrix) { return matrix.codes(); }

#ifdef STRAKE_MUST_NOT_COMPILE
void replace(QuantizedMatrix& matrix, Tensor codes) { matrix.codes() = codes; }
#endif
