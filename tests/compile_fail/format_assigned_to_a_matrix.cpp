// A matrix keeps the format that it was made with.
// fails: passing .strake::Format. as .this. argument discards qualifiers
// fails: no viable overloaded .=.
#include "strake/quant/quantize.h"

using namespace strake;

Format read(const QuantizedMatrix& matrix) { return matrix.format(); }

#ifdef STRAKE_MUST_NOT_COMPILE
void change(QuantizedMatrix& matrix) { matrix.format() = Format::parse("mxfp4"); }
#endif
