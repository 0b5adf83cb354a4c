// Sums over an input dimension that ranks divide between them.
#pragma once

#include <optional>
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

  // finish(partial) + other.finish(other_partial) of as many rows and columns, with the same bits,
  // in one exchange. Nothing, on every rank, and nothing done, where that is no better.
  std::optional<Tensor> finish_joined(Context& context, const Tensor& partial,
                                      const Reduction& other, const Tensor& other_partial) const;

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

// A sum of which ranks have not exchanged their parts.
struct UnfinishedSum {
  const Reduction& reduction;
  Tensor partial;              // as Reduction::finish() has it
  std::optional<Tensor> bias;  // floating [columns] or [rows, columns], added to the whole
};

// float32 [rows, columns], on every rank.
Tensor finish(Context& context, const UnfinishedSum& sum);
// The sum of both, finished together where that is better.
Tensor finish_both(Context& context, const UnfinishedSum& x, const UnfinishedSum& y);

// local [rows, columns of this rank] -> [rows, all columns] on every rank; any dtype.
Tensor gather_columns(Context& context, const Tensor& local, const Partition& columns);

}  // namespace strake
