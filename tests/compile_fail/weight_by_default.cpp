// There is no weight without content, to be filled in later.
// fails: no matching function for call to .strake::Weight::Weight\(\)
// fails: no matching constructor for initialization of .(strake::)?Weight
#include "strake/quant/weight.h"

using namespace strake;

Weight copy(const Weight& weight) { return weight; }

#ifdef STRAKE_MUST_NOT_COMPILE
Weight empty() { return Weight(); }
#endif
