// There is no default format.
// fails: no matching function for call to .strake::Format::Format\(\)
// fails: no matching constructor for initialization of .(strake::)?Format
#include "strake/quant/format.h"

using namespace strake;

Format named() { return Format::parse("mxfp8"); }

#ifdef STRAKE_MUST_NOT_COMPILE
Format unnamed() { return Format(); }
#endif
