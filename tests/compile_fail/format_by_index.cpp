// Only the parser makes a format: what exists is legal.
// fails: is private within this context
// fails: calling a private constructor
#include "strake/quant/format.h"

using namespace strake;

int position(Format format) { return format.index(); }

#ifdef STRAKE_MUST_NOT_COMPILE
Format illegal() { return Format(99); }
#endif
