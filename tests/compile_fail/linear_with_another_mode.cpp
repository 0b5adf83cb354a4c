// A layer's mode is the one that it was made with.
// fails: passing .const strake::Weight. as .this. argument discards qualifiers
// fails: no viable overloaded .=.
#include "strake/nn/linear.h"

using namespace strake;

void replace(Linear& layer, Weight weight) { layer = Linear(std::move(weight)); }

#ifdef STRAKE_MUST_NOT_COMPILE
void change(Linear& layer, Weight weight) { layer.weight() = std::move(weight); }
#endif
