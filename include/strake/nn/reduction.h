// Sums over an input dimension that ranks divide between them.
#pragma once

#include <vector>

#include "strake/nn/context.h"
#include "strake/shard/partition.h"

namespace strake {

// Which nodes of the dimension's sum tree each rank computes, and how the ranks finish the tree
// together. The result has the same bits for every number of ranks.
class Reduction {
 public:
  Reduction(const Dimension& dimension, const Partition& partition);
  // A contraction axis that is not divided.
  static Reduction whole(int64_t extent);

  // What a rank computes of a product.
  PartialSums part(int rank) const;

  // Bytes that the rank sends to the others for a row of `columns` sums, where rows are few.
  int64_t bytes_sent(int rank, int64_t columns) const;

  // partial float32 [nodes of this rank, rows, columns] -> [rows, columns] on every rank. Short
  // messages go to everyone; of long ones each rank finishes a share.
  Tensor finish(Context& context, const Tensor& partial) const;

 private:
  Reduction(SumTree tree, std::vector<std::vector<int>> nodes);
  PartialSums all() const { return {tree_, all_nodes_}; }
  Tensor finish_everywhere(Context& context, const Tensor& partial) const;
  Tensor finish_in_shares(Context& context, const Tensor& partial) const;

  SumTree tree_;
  std::vector<std::vector<int>> nodes_;  // by rank
  std::vector<int> all_nodes_;           // of all ranks, in rank order
  std::vector<int> node_counts_;         // by rank
  std::vector<Merge> merges_;            // of all nodes to the root
};

// local [rows, columns of this rank] -> [rows, all columns] on every rank; any dtype.
Tensor gather_columns(Context& context, const Tensor& local, const Partition& columns);

}  // namespace strake
