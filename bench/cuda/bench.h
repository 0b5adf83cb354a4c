// What the measurements on a GPU share.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "cuda/figure_table.h"
#include "kernel_options.h"
#include "strake/ops/backend.h"

namespace strake {

// Seconds of one of `calls`, call(0) to call(calls - 1), which together read what no cache holds:
// the median of many replays of a graph that has each of them at least once.
double graph_seconds(Backend& backend, int calls, const std::function<void(int)>& call);

// A backend of its own for each part gives all memory back at its end.
std::unique_ptr<Backend> make_gpu();

// As many sets of so many bytes as are cold when they take turns.
int cold_sets(int64_t bytes);

// The tree of an axis that ranks may divide.
SumTree divided_tree(int64_t extent);

struct CudaBench {
  const KernelOptions& options;
  double bandwidth;  // bytes a second that a copy reads and writes in this run
  FigureTable& table;

  double share(double bytes, double seconds) const { return bytes / seconds / bandwidth; }
  // Time, what it would be at the bandwidth, and their ratio.
  Figures times(double bytes, double seconds) const;
};

void bench_few_rows(const CudaBench& bench);
void bench_many_rows(const CudaBench& bench);
void bench_experts(const CudaBench& bench);
void bench_attention(const CudaBench& bench);
// Every tiling that a kernel can have, through the kernels themselves.
void bench_few_rows_tilings(const CudaBench& bench);
void bench_many_rows_tilings(const CudaBench& bench);

// Of the options' rows, those that each of them takes.
std::vector<int64_t> few_rows(const KernelOptions& options);
std::vector<int64_t> many_rows(const KernelOptions& options);

}  // namespace strake
