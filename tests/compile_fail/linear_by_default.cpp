// There is no layer without a weight, to be filled in later.
// fails: no matching function for call to .strake::Linear::Linear\(\)
// fails: no matching constructor for initialization of .(strake::)?Linear
#include "strake/nn/linear.h"

using namespace strake;

Linear whole(Weight weight) { return Linear(std::move(weight)); }

#ifdef STRAKE_MUST_NOT_COMPILE
Linear later() { return Linear(); }
#endif
