// Sums over the experts of each token.
//
// A thread takes some blocks of outputs through all experts: each expert's products, leaf by leaf,
// are weighted and added to sums [tokens][leaves][outputs] that stay in the thread's caches; then
// the leaves combine along the tree. No product of an expert alone ever goes to memory.
#include <algorithm>
#include <array>

#include "base/recycled.h"
#include "ops/cpu/cpu_backend.h"
#include "ops/cpu/lanes.h"
#include "ops/cpu/packed_weight.h"
#include "ops/cpu/product.h"

namespace strake::cpu {
namespace {

// Where tokens are few, so many blocks of each expert are one stream from memory.
constexpr int64_t kFewTokens = 8;
constexpr int64_t kBlocksOfFew = 4;

// All leaves below the nodes, in order.
Recycled<int> leaves_below(const PartialSums& sums) {
  Recycled<int> leaves;
  Recycled<int> open(sums.nodes.rbegin(), sums.nodes.rend());
  while (!open.empty()) {
    const int index = open.back();
    const SumTree::Node& node = sums.tree.node(index);
    open.pop_back();
    if (node.left < 0)
      leaves.push_back(index);
    else
      open.insert(open.end(), {node.right, node.left});
  }
  return leaves;
}

struct Work {
  const Blocks& blocks;
  const ProductKernels& kernels;
  const Mixture& mixture;
  std::span<const MatrixProduct> products;  // by ascending expert
  const Grouping& rows;                     // of each expert
  const SumSchedule& schedule;              // of the products
  const SumSchedule& combination;           // of the leaves, one a step
  std::span<const int> leaf_of;  // expert -> leaf; empty where each expert has all leaves
  int64_t at_once;               // blocks that a thread takes
  int64_t rows_at_once;          // that a kernel multiplies
  float* result;                 // [nodes, tokens, outputs]

  int64_t leaves() const { return std::ssize(combination.steps); }
  // Sums that one expert makes for a row.
  int64_t sums_of_row() const { return leaf_of.empty() ? leaves() : 1; }
  int64_t width() const { return at_once * kBlockRows; }
};

// What a range works in.
class Room {
 public:
  static size_t bytes(const Work& work) {
    size_t total = 0;
    for (const size_t size : sizes(work)) total += size;
    return total;
  }

  Room(const Work& work, std::byte* memory) {
    const auto sizes = Room::sizes(work);
    std::byte* parts[kParts];
    for (size_t i = 0; i < kParts; ++i) {
      parts[i] = memory;
      memory += sizes[i];
    }
    sums = reinterpret_cast<float*>(parts[0]);
    products = reinterpret_cast<float*>(parts[1]);
    outs = reinterpret_cast<float**>(parts[2]);
    tiles = reinterpret_cast<Tile*>(parts[3]);
    packed = parts[4];
    kernel = parts[5];
    for (int64_t i = 0; i < work.rows_at_once; ++i)
      outs[i] = products + i * work.sums_of_row() * work.width();
  }

  float* sums;        // [tokens][leaves][width]
  float* products;    // [rows][leaves, or 1][width]
  float** outs;       // where each row's products begin
  Tile* tiles;        // with results there
  std::byte* packed;  // blocks that were not packed before
  std::byte* kernel;

 private:
  static constexpr size_t kParts = 6;
  // Bytes of the parts, whole lines of 64.
  static std::array<size_t, kParts> sizes(const Work& work) {
    const auto floats = [](int64_t count) { return static_cast<size_t>(count) * sizeof(float); };
    std::array<size_t, kParts> sizes{
        floats(work.mixture.count * work.leaves() * work.width()),
        floats(work.rows_at_once * work.sums_of_row() * work.width()),
        static_cast<size_t>(work.rows_at_once) * sizeof(float*),
        static_cast<size_t>(work.kernels.most_tiles) * sizeof(Tile),
        static_cast<size_t>(work.at_once) * work.blocks.room_bytes() + kReadBeyond,
        work.kernels.scratch_bytes(work.blocks.layout(), work.schedule, work.rows_at_once)};
    for (size_t& size : sizes) size = (size + 63) / 64 * 64;
    return sizes;
  }
};

// to[0..count) += weight * from[0..count), whole blocks.
void add_weighted(const float* from, float weight, int64_t count, float* to) {
  for (int64_t i = 0; i < count; i += kLanes) {
    Lanes x, sum;
    load(from + i, x);
    load(to + i, sum);
    sum += x * weight;
    std::memcpy(to + i, &sum, sizeof sum);
  }
}

// Adds one expert's products of `count` blocks from `first` on to the sums.
void add_expert(const Work& work, const MatrixProduct& product, int64_t first, int64_t count,
                const Room& room) {
  const BlockLayout& layout = work.blocks.layout();
  const std::byte* const codes = work.blocks.get(product.matrix, first, count, room.packed);
  const int64_t outputs = work.blocks.outputs() - first * kBlockRows;
  const int64_t at_once = work.kernels.blocks_at_once(product.activations.rows());
  const int64_t leaf = work.leaf_of.empty() ? 0 : work.leaf_of[static_cast<size_t>(product.matrix)];
  const int64_t row_size = work.sums_of_row() * work.width();
  auto row = work.rows[product.matrix].begin();
  for (auto tiles = product.activations.tiles(); !tiles.empty();) {
    const size_t some = std::min(tiles.size(), static_cast<size_t>(work.kernels.most_tiles));
    int64_t rows = 0;
    for (size_t i = 0; i < some; ++i) {
      room.tiles[i] = tiles[i];
      room.tiles[i].out = room.outs + rows;
      rows += tiles[i].rows;
    }
    for (int64_t block = 0; block < count; block += at_once) {
      const int64_t taken = std::min(at_once, count - block);
      const int64_t output = block * kBlockRows;
      work.kernels.multiply({layout, work.schedule, codes + block * layout.block_bytes(),
                             static_cast<int>(taken), layout.block_bytes(), output,
                             std::min(taken * kBlockRows, outputs - output), work.width(),
                             std::span(room.tiles, some), room.kernel});
    }
    for (int64_t i = 0; i < rows; ++i, ++row) {
      const auto at = static_cast<size_t>(*row);
      add_weighted(room.outs[i], work.mixture.weights[at], row_size,
                   room.sums + (work.mixture.tokens[at] * work.leaves() + leaf) * work.width());
    }
    tiles = tiles.subspan(some);
  }
}

// The sums of blocks from `first` on, combined into the result.
void combine(const Work& work, int64_t first, const Room& room) {
  const int64_t width = work.width();
  const int64_t outputs = work.blocks.outputs();
  const int64_t wanted = std::min(width, outputs - first * kBlockRows);
  for (int64_t token = 0; token < work.mixture.count; ++token) {
    float* const stack = room.sums + token * work.leaves() * width;
    const float* leaf = stack;
    float* top = stack - width;
    for (const SumSchedule::Step& step : work.combination.steps) {
      top += width;
      if (top != leaf) std::copy_n(leaf, width, top);
      leaf += width;
      for (int merge = 0; merge < step.merges; ++merge) {
        top -= width;
        for (int64_t i = 0; i < width; ++i) top[i] += top[width + i];
      }
      if (step.node < 0) continue;
      std::copy_n(
          top, wanted,
          work.result + (step.node * work.mixture.count + token) * outputs + first * kBlockRows);
      top -= width;
    }
  }
}

}  // namespace

Tensor CpuBackend::do_mix_matmul(const Tensor& x, const Weight& w, const Mixture& mixture,
                                 const PartialSums& sums) {
  const int64_t outputs = w.shape()[1];
  Tensor y =
      Tensor::empty(DType::kF32, {static_cast<int64_t>(sums.nodes.size()), mixture.count, outputs});
  if (y.elements() == 0) return y;
  schedule_.assign(sums);
  const bool by_input = mixture.axis == Mixture::Axis::kInputs;
  if (by_input)
    leaves_.assign({sums.tree, leaves_below(sums)});
  else
    leaves_.assign_whole(w.shape()[2]);
  Recycled<int> leaf_of;
  if (!by_input)
    for (size_t leaf = 0; leaf < schedule_.steps.size(); ++leaf)
      leaf_of.insert(leaf_of.end(), static_cast<size_t>(schedule_.steps[leaf].inputs),
                     static_cast<int>(leaf));
  const Blocks blocks(w, arrangement_of(path_));
  const ProductKernels& kernels = product_kernels(path_, x, blocks.layout(), leaves_);
  groups_.assign(mixture.experts, w.shape()[0]);
  targets_.clear();
  for (const int64_t row : groups_.items()) targets_.push_back({row, nullptr});
  const auto products = assign_products(x, kernels, blocks.layout());
  int64_t most_rows = 1;
  int64_t at_once = mixture.count <= kFewTokens ? kBlocksOfFew : 1;
  for (const MatrixProduct& product : products) {
    const int64_t rows = product.activations.rows();
    most_rows = std::max(most_rows, rows);
    at_once = std::max<int64_t>(at_once, kernels.blocks_at_once(rows));
  }
  const Work work{blocks,
                  kernels,
                  mixture,
                  products,
                  groups_,
                  leaves_,
                  schedule_,
                  leaf_of,
                  at_once,
                  std::min(most_rows, int64_t{kernels.most_tiles} * kernels.most_rows),
                  y.mutable_data<float>().data()};
  const int64_t all = blocks.per_matrix();
  scratch_.reserve(Room::bytes(work));
  pool_.for_ranges((all + at_once - 1) / at_once, [&](int64_t begin, int64_t end, int range) {
    const Room room(work, scratch_[range]);
    const KernelTurn turn(kernels, blocks.layout(), work.rows_at_once);
    for (int64_t first = begin * at_once; first < std::min(all, end * at_once); first += at_once) {
      std::fill_n(room.sums, mixture.count * work.leaves() * work.width(), 0.0f);
      for (const MatrixProduct& product : products)
        add_expert(work, product, first, std::min(at_once, all - first), room);
      combine(work, first, room);
    }
  });
  return y;
}

}  // namespace strake::cpu
