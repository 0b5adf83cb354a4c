// What the threads do of products with a weight or with experts of a stack.
#pragma once

#include <cstdint>
#include <span>

#include "ops/cpu/activations.h"
#include "ops/cpu/packed_weight.h"
#include "ops/cpu/product.h"
#include "ops/cpu/scratch.h"

namespace strake::cpu {

// One matrix of a weight and the rows that it multiplies.
struct MatrixProduct {
  int64_t matrix;
  Activations activations;
};

struct Products {
  const Blocks& blocks;
  const SumSchedule& schedule;
  const ProductKernels& kernels;
  std::span<const MatrixProduct> products;
  int64_t node_stride;  // floats from one node's results to the next node's
};

// Every block of every product, divided over the threads.
void multiply_all(ThreadPool& pool, Scratch& scratch, const Products& all);

}  // namespace strake::cpu
