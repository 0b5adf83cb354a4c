#include "strake/ops/sum_tree.h"

#include <cstdlib>

#include "base/fail.h"

namespace strake {

SumTree::SumTree(std::span<const int64_t> cuts) {
  if (cuts.size() < 2 || cuts.front() != 0)
    fail(ErrorKind::kInternal, "a sum tree needs cuts from 0 to the extent");
  for (size_t i = 1; i < cuts.size(); ++i)
    if (cuts[i] <= cuts[i - 1])
      fail(ErrorKind::kInternal, "the cuts of a sum tree must ascend: {} after {}", cuts[i],
           cuts[i - 1]);
  nodes_.reserve(2 * cuts.size());
  build(cuts);
}

SumTree SumTree::whole(int64_t extent) {
  const int64_t cuts[] = {0, extent};
  return SumTree(cuts);
}

int SumTree::build(std::span<const int64_t> cuts) {
  const auto index = static_cast<int>(nodes_.size());
  nodes_.push_back({cuts.front(), cuts.back(), -1, -1});
  if (cuts.size() == 2) return index;
  const int64_t twice_middle = cuts.front() + cuts.back();
  size_t split = 1;
  for (size_t i = 2; i + 1 < cuts.size(); ++i)
    if (std::abs(2 * cuts[i] - twice_middle) < std::abs(2 * cuts[split] - twice_middle)) split = i;
  const int left = build(cuts.first(split + 1));
  const int right = build(cuts.subspan(split));
  nodes_[static_cast<size_t>(index)].left = left;
  nodes_[static_cast<size_t>(index)].right = right;
  return index;
}

std::vector<int> SumTree::cover(int64_t begin, int64_t end) const {
  std::vector<int> found;
  if (begin < end) cover(0, begin, end, found);
  return found;
}

void SumTree::cover(int index, int64_t begin, int64_t end, std::vector<int>& found) const {
  const Node& at = node(index);
  if (begin <= at.begin && at.end <= end) return found.push_back(index);
  if (at.end <= begin || end <= at.begin) return;
  if (at.left < 0)
    fail(ErrorKind::kInternal, "elements [{}, {}) cut the segment [{}, {}) of a sum tree", begin,
         end, at.begin, at.end);
  cover(at.left, begin, end, found);
  cover(at.right, begin, end, found);
}

}  // namespace strake
