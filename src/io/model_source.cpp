#include "io/model_source.h"

#include "base/fail.h"
#include "io/read_ahead.h"

namespace strake {

std::shared_ptr<ReadAhead> ModelSource::read_ahead(ModelSource& /*twin*/) { return nullptr; }

std::optional<Cut> rescale(const std::string& name, const std::optional<Cut>& cut, int64_t logical,
                           int64_t stored) {
  if (!cut) return cut;
  Cut result = *cut;
  for (Range& range : result.ranges) {
    if (range.begin % logical != 0 || range.end % logical != 0)
      fail(ErrorKind::kUsage, "{}: elements [{}, {}) are not whole groups of {}", name, range.begin,
           range.end, logical);
    range = {range.begin / logical * stored, range.end / logical * stored};
  }
  return result;
}

Shape shape_of_cut(const Shape& whole, const std::optional<Cut>& cut) {
  if (!cut) return whole;
  int64_t extent = 0;
  for (const Range range : cut->ranges) extent += range.size();
  return whole.with(cut->axis, extent);
}

}  // namespace strake
