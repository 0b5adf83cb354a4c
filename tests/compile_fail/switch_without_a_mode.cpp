// A switch over the modes names them all.
// fails: enumeration value .kNvfp4. not handled in switch
#include "strake/quant/format.h"

using namespace strake;

int all(Mode mode) {
  switch (mode) {
    case Mode::kAffine:
      return 1;
    case Mode::kMxfp4:
    case Mode::kMxfp8:
    case Mode::kNvfp4:
      return 2;
  }
  return 0;
}

#ifdef STRAKE_MUST_NOT_COMPILE
int most(Mode mode) {
  switch (mode) {
    case Mode::kAffine:
      return 1;
    case Mode::kMxfp4:
    case Mode::kMxfp8:
      return 2;
  }
  return 0;
}
#endif
