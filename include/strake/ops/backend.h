// The operations that layers are made of, and the backends that carry them out.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "strake/ops/activation.h"
#include "strake/ops/cache_rows.h"
#include "strake/ops/sum_tree.h"
#include "strake/quant/weight.h"
#include "strake/tensor/tensor.h"

namespace strake {

// Rotary position embedding: which pairs of a head turn, and how fast (arXiv:2104.09864).
struct RopeTable {
  enum class Pairs { kHalves, kAdjacent };  // (i, i + dims/2), or (2i, 2i + 1)
  Pairs pairs = Pairs::kHalves;
  int64_t dims = 0;    // leading elements of a head that turn; the rest pass
  Tensor frequencies;  // float32 [dims / 2], radians a position
  float magnitude = 1.0f;
};

// Which rows of which expert multiply: result row i is x[lhs[i]] times w[rhs[i]].
struct GatherIndices {
  std::span<const int32_t> lhs;
  std::span<const int32_t> rhs;
};

// A sum of experts for each token: weights[i] times the product of row i with matrix experts[i] is
// added to result row tokens[i].
struct Mixture {
  // What ranks divide, and the tree spans: the inputs of each matrix, or the matrices.
  enum class Axis { kInputs, kExperts };
  std::span<const int32_t> experts;
  std::span<const int32_t> tokens;
  std::span<const float> weights;
  int64_t count;  // of tokens
  Axis axis = Axis::kInputs;
};

// What a norm divides rows by.
struct RowSquares {
  const Tensor& sums;  // float32 [M, parts]
  int64_t width;       // of all parts together
  float eps;
};

// What the queries of one sequence see of its cache. Query head h reads key-value head heads[h].
struct AttentionView {
  std::span<const int32_t> heads;
  int64_t first_position;  // of the first query
  float scale;             // of the scores
  // Of the positions up to its own, a query sees the last so many; all without one.
  std::optional<int64_t> window = {};
  // [heads]: a score more in each softmax, which takes its share and adds no value; or none.
  std::span<const float> sinks = {};
  // int32 [M, k]: the positions that each query sees, ascending, then -1 where there are fewer than
  // k; or all.
  const Tensor* selected = nullptr;
  // [M]: a factor more on each query's scores; or none.
  std::span<const float> row_scales = {};
};

// What it reads there: the first `value_width` elements of `values` rows, which may be the keys.
struct AttentionRows {
  const CacheRows& keys;
  const CacheRows& values;
  int64_t value_width;
};

// An indexer's selection for the queries of one sequence (DeepSeek-V3.2, arXiv:2512.02556).
struct IndexView {
  int64_t first_position;  // of the first query
  int64_t count;           // keys to select for each
};

// (x - mean) / sqrt(variance + eps) * weight + bias.
struct NormParameters {
  const Tensor& weight;  // floating [D]
  const Tensor& bias;    // floating [D]
  float eps;
};

// Every function checks its arguments (Error(kUsage) with what was expected and found) and then
// calls the backend's own. Activations enter products as they are, sums are float32, and each
// result element is computed by itself: its bits do not depend on how many rows or columns are
// computed with it, nor on threads.
class Backend {
 public:
  virtual ~Backend() = default;

  virtual std::string_view name() const = 0;
  // Where it computes. Tensors that it is given are there, but for small tables that belong to a
  // layer (RopeTable::frequencies) and what is passed as spans, which are the host's.
  virtual Place place() const = 0;
  Device device() const { return place().device; }
  virtual int threads() const = 0;
  // The instruction path of its kernels, one of backend_paths(). Bits are equal within a path.
  virtual std::string_view path() const = 0;

  // Bytes that are free where it computes, if that is not the host.
  virtual std::optional<int64_t> free_memory() const { return std::nullopt; }
  // Bytes a second that a copy there reads and writes, if that is not the host: a measurement of
  // some milliseconds.
  virtual std::optional<double> copy_bandwidth() { return std::nullopt; }

  // The host's weight in the place and layout that this backend's kernels read, its values
  // unchanged: for weights that multiply more than once. It serves products that compute these sums
  // on backends of this device and path alone, and cannot be sliced. On the CPU other weights are
  // laid out anew in each product, with the same result; other devices take prepared ones alone.
  Weight prepare(Weight w, const PartialSums& sums);
  // For products whose contraction axis is not divided.
  Weight prepare(Weight w);

  // x [M, K] floating, w [N, K] -> float32 [nodes, M, N]: each node's sum of x[m, k] * w[n, k].
  Tensor matmul(const Tensor& x, const Weight& w, const PartialSums& sums);
  // The whole product, float32 [M, N], along `tree`.
  Tensor matmul(const Tensor& x, const Weight& w, const SumTree& tree);
  // x [T, K], w [E, N, K] -> float32 [nodes, rows, N]; indices are checked against T and E.
  Tensor gather_matmul(const Tensor& x, const Weight& w, const GatherIndices& indices,
                       const PartialSums& sums);
  // x [rows, K], w [E, N, K] -> float32 [nodes, tokens, N]. Each leaf of the tree is summed over a
  // token's experts first, in ascending order of experts, and the leaves' sums combine: with either
  // axis the result has the same bits however its elements are divided. Indices are checked.
  Tensor mix_matmul(const Tensor& x, const Weight& w, const Mixture& mixture,
                    const PartialSums& sums);
  // Matrices [first, first + count) of w [E, N, K], each turned over -> [count, K, N], of a
  // floating dtype that has their very values.
  Tensor transpose(const Weight& w, int64_t first, int64_t count);
  // pieces float32 [nodes, ...], the sums of `sums.nodes` (any cover of the whole tree) -> [...].
  Tensor finish_sums(const Tensor& pieces, const PartialSums& sums);

  // Rows `ids` of w [V, D] -> float32 [ids, D].
  Tensor embedding(const Weight& w, std::span<const int32_t> ids);

  // x float32 [M, D], w [D] -> `dtype` [M, D]: x / sqrt(mean(x^2) + eps) * w (arXiv:1910.07467).
  Tensor rms_norm(const Tensor& x, const Tensor& w, float eps, DType dtype);
  // x float32 [M, D] -> `dtype` [M, D] (arXiv:1607.06450).
  Tensor layer_norm(const Tensor& x, const NormParameters& norm, DType dtype);
  // x float32 [M, D] -> float32 [M]: the sum of each row's squares.
  Tensor sum_squares(const Tensor& x);
  // rms_norm of rows of which x [M, D] and w [D] are a part: over the sums of squares that all
  // parts have, float32 [M, parts], added up in order.
  Tensor rms_norm_part(const Tensor& x, const Tensor& w, const RowSquares& squares, DType dtype);
  // In place on x floating [M, heads, D]; row m stands at first_position + m.
  void rope(Tensor& x, const RopeTable& table, int64_t first_position);
  // cache [heads, slots, D]: positions first_position.. become x [M, heads, D] of its dtype.
  void cache_store(CacheRows& cache, const Tensor& x, int64_t first_position);
  // q [M, heads, D], keys [KV, slots, D], values [KV, slots, DV] -> [M, heads, DV], all of one
  // floating dtype: causal softmax attention; row m sees positions 0 .. first_position + m.
  Tensor attention(const Tensor& q, const CacheRows& keys, const CacheRows& values,
                   const AttentionView& view);
  // The same where the values are the first `value_width` elements of the keys.
  Tensor attention(const Tensor& q, const CacheRows& keys, int64_t value_width,
                   const AttentionView& view);
  // q [M, heads, D], weights float32 [M, heads], keys [1, slots, D] of q's dtype -> int32
  // [M, count]: of the positions that row m sees, those with the largest sums over heads of
  // relu(q . key) * weight, of equal ones the first; ascending, then -1 where there are fewer.
  Tensor select_keys(const Tensor& q, const Tensor& weights, const CacheRows& keys,
                     const IndexView& view);
  // gate, up floating [M, D] of one dtype -> [M, D].
  Tensor gated(const Tensor& gate, const Tensor& up, Activation activation);
  // x + y, float32 of one shape; y may be one row [D] added to each.
  Tensor add(const Tensor& x, const Tensor& y);
  // x * factor, float32.
  Tensor scale(const Tensor& x, float factor);

 private:
  virtual Weight do_prepare(Weight w, const PartialSums& sums) = 0;
  virtual Tensor do_matmul(const Tensor& x, const Weight& w, const PartialSums& sums) = 0;
  virtual Tensor do_gather_matmul(const Tensor& x, const Weight& w, const GatherIndices& indices,
                                  const PartialSums& sums) = 0;
  virtual Tensor do_mix_matmul(const Tensor& x, const Weight& w, const Mixture& mixture,
                               const PartialSums& sums) = 0;
  virtual Tensor do_transpose(const Weight& w, int64_t first, int64_t count) = 0;
  virtual Tensor do_finish_sums(const Tensor& pieces, const PartialSums& sums) = 0;
  virtual Tensor do_embedding(const Weight& w, std::span<const int32_t> ids) = 0;
  virtual Tensor do_rms_norm(const Tensor& x, const Tensor& w, float eps, DType dtype) = 0;
  virtual Tensor do_layer_norm(const Tensor& x, const NormParameters& norm, DType dtype) = 0;
  virtual Tensor do_sum_squares(const Tensor& x) = 0;
  virtual Tensor do_rms_norm_part(const Tensor& x, const Tensor& w, const RowSquares& squares,
                                  DType dtype) = 0;
  virtual void do_rope(Tensor& x, const RopeTable& table, int64_t first_position) = 0;
  virtual void do_cache_store(CacheRows& cache, const Tensor& x, int64_t first_position) = 0;
  virtual Tensor do_attention(const Tensor& q, const AttentionRows& cached,
                              const AttentionView& view) = 0;
  virtual Tensor do_select_keys(const Tensor& q, const Tensor& weights, const CacheRows& keys,
                                const IndexView& view) = 0;
  virtual Tensor do_gated(const Tensor& gate, const Tensor& up, Activation activation) = 0;
  virtual Tensor do_add(const Tensor& x, const Tensor& y) = 0;
  virtual Tensor do_scale(const Tensor& x, float factor) = 0;
};

struct BackendOptions {
  int threads = 1;
  std::string path = {};  // empty: the first of backend_paths()
  int index = 0;          // of the GPU, among the host's
};

// The instruction paths of a device that this machine can run, the fastest first. Throws
// Error(kUnsupported) that lists the backends built in.
std::vector<std::string_view> backend_paths(std::string_view device);

// Of a contraction axis that ranks divide, the most parts whose sums a device's kernels combine
// (Dimension::with_parts); 0: any number.
int most_parts(std::string_view device);

// By device name ("cpu", "cuda"). Throws Error(kUnsupported) that lists the backends built in, or
// the paths that this machine can run.
std::unique_ptr<Backend> make_backend(std::string_view device, const BackendOptions& options);

}  // namespace strake
