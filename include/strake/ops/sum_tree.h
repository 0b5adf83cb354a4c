// The one order in which the terms of a matrix product are summed, whoever computes them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace strake {

// The contraction axis is cut into segments that depend on the model alone. Each segment's sum is
// float32; segments combine pairwise along this fixed binary tree. Ranks compute the subtrees that
// their elements cover, exchange those sums and finish the same tree, so that the result has the
// same bits for every number of ranks. (Floating addition is not associative: the tree is the
// contract.)
class SumTree {
 public:
  // A leaf has no children and spans one segment.
  struct Node {
    int64_t begin;  // elements of the contraction axis
    int64_t end;
    int left;  // -1 for a leaf
    int right;
  };

  // `cuts` ascends from 0 to the extent. An inner node splits at the cut nearest to its middle, so
  // that halves, quarters and so on of the dimension are nodes.
  explicit SumTree(std::span<const int64_t> cuts);
  // One segment: for layers whose contraction axis is never divided.
  static SumTree whole(int64_t extent);

  int64_t extent() const { return nodes_.front().end; }
  std::span<const Node> nodes() const { return nodes_; }  // the root first
  const Node& node(int index) const { return nodes_[static_cast<size_t>(index)]; }

  // The fewest nodes whose elements are exactly [begin, end), in order. Throws Error(kInternal)
  // when an end is not a cut.
  std::vector<int> cover(int64_t begin, int64_t end) const;

 private:
  int build(std::span<const int64_t> cuts);
  void cover(int index, int64_t begin, int64_t end, std::vector<int>& found) const;
  std::vector<Node> nodes_;
};

// Which part of a contraction a call computes: these nodes of the tree, whose elements, in this
// order, are the columns of the operands at hand.
struct PartialSums {
  const SumTree& tree;
  std::span<const int> nodes;
};

}  // namespace strake
