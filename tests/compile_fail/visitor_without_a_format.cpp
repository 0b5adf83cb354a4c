// A kernel for all formats but one does not compile.
// fails: no match for call to
// fails: no matching function for call to
#include "quant/format_list.h"

using namespace strake;

struct AllFormats {
  template <Mode M, class Element, class Scale, int GroupSize>
  int operator()(FormatSpec<M, Element, Scale, GroupSize>) const {
    return GroupSize;
  }
};

int visit(Format format) { return visit_format(format, AllFormats()); }

#ifdef STRAKE_MUST_NOT_COMPILE
struct NoNvfp4 {
  template <Mode M, class Element, class Scale, int GroupSize>
  requires(M != Mode::kNvfp4) int operator()(FormatSpec<M, Element, Scale, GroupSize>) const {
    return GroupSize;
  }
};

int visit_most(Format format) { return visit_format(format, NoNvfp4()); }
#endif
