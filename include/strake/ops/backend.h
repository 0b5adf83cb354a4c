// The operations that layers are made of, and the backends that carry them out.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "strake/ops/activation.h"
#include "strake/ops/cache_rows.h"
#include "strake/ops/mixture.h"
#include "strake/ops/position.h"
#include "strake/ops/recording.h"
#include "strake/ops/routing.h"
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

// What a norm divides rows by.
struct RowSquares {
  const Tensor& sums;  // float32 [M, parts]
  int64_t width;       // of all parts together
  float eps;
};

// Keys [M, KV, D] and values [M, KV, DV] on their way to a cache.
struct NewHeads {
  Tensor& k;
  const Tensor& v;
  const RopeTable* rope;  // of queries and keys; nullptr: none
};

// layer_norm() of rows, or rms_norm() where there is no bias.
struct RowNorm {
  const Tensor& weight;  // floating [D]
  const Tensor* bias;    // floating [D]; nullptr: none
  float eps;
};

// Columns [begin, end) of heads x floating [M, heads, D]. Where there is a norm, x is float32 and
// each head's columns are a row of it. Then, where there is a table, they turn as in rope(), and
// those of x may turn, too.
struct HeadColumns {
  const Tensor& x;
  int64_t begin;
  int64_t end;
  const RopeTable* rope = nullptr;
  std::optional<RowNorm> norm = {};
};

// One of several join_heads(), or, where there is a cache, store_heads(), of rows [begin, end).
struct HeadRows {
  std::span<const HeadColumns> columns;
  int64_t begin;
  int64_t end;
  Position first_position;
  DType dtype;                        // of the result, or the cache's
  CacheRows* cache = nullptr;         // or none
  std::optional<Tensor> result = {};  // [rows, heads, all columns], without a cache
};

// What the queries of one sequence see of its cache. Query head h reads key-value head heads[h].
struct AttentionView {
  std::span<const int32_t> heads;
  Position first_position;  // of the first query
  float scale;              // of the scores
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
  Position first_position;  // of the first query
  int64_t count;            // keys to select for each
  // Where there is a table, queries turn first as in rope(), and those given may turn, too.
  const RopeTable* rope = nullptr;
};

// Who has which rows of a table, and which part is meant.
struct TableParts {
  std::span<const HeldRows> held;  // of all parts: every row once
  int64_t part;
};

// One of several products of the same activations, and what comes of it.
struct JointProduct {
  const Weight& weight;               // [N, K], or of experts [E, N, K]
  DType dtype;                        // floating, of the result
  std::optional<Tensor> result = {};  // [M, N], or of experts [rows, N]
};

// The tree of a mixture, and what it spans.
struct AxisSums {
  Mixture::Axis axis;
  PartialSums sums;
};

// x / sqrt(mean(x^2) + eps) * weight.
struct RmsParameters {
  const Tensor& weight;  // floating [D]
  float eps;
};

// A sum, and the norm of its rows.
struct NormedSum {
  Tensor sum;     // float32 [M, D]
  Tensor normed;  // [M, D]
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

  // Tokens of a prompt that are run together: more take more memory, and gain nothing.
  virtual int64_t prompt_rows() const { return 512; }

  // The host's weight in the place and layout that this backend's kernels read, its values
  // unchanged: for weights that multiply more than once. It serves products that compute these sums
  // on backends of this device and path alone, and cannot be sliced. On the CPU other weights are
  // laid out anew in each product, with the same result; other devices take prepared ones alone.
  Weight prepare(Weight w, const PartialSums& sums);
  // For products whose contraction axis is not divided.
  Weight prepare(Weight w);

  // x [M, K] floating, w [N, K] -> float32 [nodes, M, N]: each node's sum of x[m, k] * w[n, k].
  Tensor matmul(const Tensor& x, const Weight& w, const PartialSums& sums);
  // The whole product along `tree`, rounded to `dtype` [M, N].
  Tensor matmul(const Tensor& x, const Weight& w, const SumTree& tree, DType dtype = DType::kF32);
  // The same of each, with the same bits: in one go where a device can.
  void matmul_each(const Tensor& x, std::span<JointProduct> products, const SumTree& tree);
  // x [T, K], w [E, N, K] -> float32 [nodes, rows, N]; indices are checked against T and E.
  Tensor gather_matmul(const Tensor& x, const Weight& w, const GatherIndices& indices,
                       const PartialSums& sums);
  // The whole products along `tree`, rounded to `dtype` [rows, N].
  Tensor gather_matmul(const Tensor& x, const Weight& w, const GatherIndices& indices,
                       const SumTree& tree, DType dtype);
  // x floating [M, heads, D], w [heads, N, K] -> `dtype` [M, heads, N]: the first K columns of each
  // head with its own matrix, along `tree`.
  Tensor head_matmul(const Tensor& x, const Weight& w, const SumTree& tree, DType dtype);
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

  // logits float32 [rows, experts]; `correction` [experts], or empty, is added to the scores to
  // choose by, not to the weights. Of equal ones the lowest index is chosen. Uses additions and
  // multiplications alone, so that ranks on unlike machines decide alike. Throws Error(kUsage) for
  // a logit that is not a number; a device leaves that to require_valid().
  Routing route(const Tensor& logits, const RoutingRule& rule, std::span<const float> correction);
  // Throws Error(kUsage) where a router's logit on a device was not a number since the last call.
  virtual void require_valid(const Await& /*await*/) {}
  // The rows of a routing for the experts that this rank holds. A device may have to wait for them.
  std::shared_ptr<const DispatchedRows> dispatch(const Routing& routing,
                                                 std::span<const HeldRows> held,
                                                 const Await& await);
  // The weights by expert, 0 for those not chosen: float32 [rows, experts].
  Tensor spread_weights(const Routing& routing, int64_t experts);
  // As with the rows' indices and mixture; rows whose expert the rank does not hold may be there,
  // with undefined values. With `x` of gather_matmul() [tokens, K], of mix_matmul() its rows.
  Tensor gather_matmul(const Tensor& x, const Weight& w, const DispatchedRows& rows,
                       const SumTree& tree, DType dtype);
  // The same of each, with the same bits: in one go where a device can.
  void gather_matmul_each(const Tensor& x, std::span<JointProduct> products,
                          const DispatchedRows& rows, const SumTree& tree);
  Tensor mix_matmul(const Tensor& x, const Weight& w, const DispatchedRows& rows,
                    const AxisSums& sums);
  // Row e of w [E, D] for each row of expert e -> float32 [rows, D].
  Tensor expert_rows(const Weight& w, const DispatchedRows& rows);

  // Rows `ids` of w [V, D] -> float32 [ids, D].
  Tensor embedding(const Weight& w, const TokenIds& ids);
  Tensor embedding(const Weight& w, std::span<const int32_t> ids) {
    return embedding(w, TokenIds(ids));
  }
  // The same where w [.., D] is one part of the table: of ids in other parts, any values.
  Tensor embedding_part(const Weight& w, const TokenIds& ids, const TableParts& parts);
  // pieces float32 [parts, ids, D], what each part has of embedding_part() -> [ids, D].
  Tensor pick_rows(const Tensor& pieces, const TokenIds& ids, std::span<const HeldRows> held);

  // x float32 [M, D], w [D] -> `dtype` [M, D]: x / sqrt(mean(x^2) + eps) * w (arXiv:1910.07467).
  Tensor rms_norm(const Tensor& x, const Tensor& w, float eps, DType dtype);
  // x + y, float32 [M, D], and what rms_norm() makes of that, `dtype` [M, D].
  NormedSum add_rms_norm(const Tensor& x, const Tensor& y, const RmsParameters& norm, DType dtype);
  // x float32 [M, D] -> `dtype` [M, D] (arXiv:1607.06450).
  Tensor layer_norm(const Tensor& x, const NormParameters& norm, DType dtype);
  // x float32 [M, D] -> float32 [M]: the sum of each row's squares.
  Tensor sum_squares(const Tensor& x);
  // rms_norm of rows of which x [M, D] and w [D] are a part: over the sums of squares that all
  // parts have, float32 [M, parts], added up in order.
  Tensor rms_norm_part(const Tensor& x, const Tensor& w, const RowSquares& squares, DType dtype);
  // In place on x floating [M, heads, D]; row m stands at first_position + m.
  void rope(Tensor& x, const RopeTable& table, const Position& first_position);
  // cache [heads, slots, D]: positions first_position.. become x [M, heads, D] of its dtype.
  void cache_store(CacheRows& cache, const Tensor& x, const Position& first_position);
  // What comes before attention to a sequence: rope() of q and k, and cache_store() of k and v. k
  // itself may be left as it was.
  void place_heads(Tensor& q, NewHeads& heads, CacheRows& keys, CacheRows& values,
                   const Position& first_position);
  // Columns of heads beside each other, normed, and rounded to `dtype` before they turn:
  // [M, heads, all].
  Tensor join_heads(std::span<const HeadColumns> parts, DType dtype,
                    const Position& first_position);
  // cache_store() of what join_heads() makes for the cache.
  void store_heads(CacheRows& cache, std::span<const HeadColumns> parts,
                   const Position& first_position);
  // Each of these, with the same bits: in one go where a device can.
  void place_each(std::span<HeadRows> all);
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

  // What `operations` ask of this backend and its tensors, and of a group whose collectives are
  // queued there, to be run later and again: nothing of it happens now. nullptr where that cannot
  // be, because they need the host or the backend does not record. All that is the same in each
  // run must have happened once before.
  virtual std::unique_ptr<Recording> record(const std::function<void()>& /*operations*/) {
    return nullptr;
  }
  // For a sequence of a model with so many tokens; nullptr where tokens are the host's to choose.
  virtual std::unique_ptr<TokenChooser> token_chooser(const SamplingRule& /*rule*/,
                                                      int64_t /*vocabulary*/) {
    return nullptr;
  }

 protected:
  // Made of others' calls, which a backend may do for some of their arguments.
  virtual Tensor do_matmul_to(const Tensor& x, const Weight& w, const SumTree& tree, DType dtype);
  virtual void do_matmul_each(const Tensor& x, std::span<JointProduct> products,
                              const SumTree& tree);
  virtual Tensor do_gather_matmul_to(const Tensor& x, const Weight& w, const GatherIndices& indices,
                                     const SumTree& tree, DType dtype);
  virtual void do_gather_rows_each(const Tensor& x, std::span<JointProduct> products,
                                   const DispatchedRows& rows, const SumTree& tree);
  virtual Tensor do_head_matmul(const Tensor& x, const Weight& w, const SumTree& tree, DType dtype);
  virtual void do_place_heads(Tensor& q, NewHeads& heads, CacheRows& keys, CacheRows& values,
                              const Position& first_position);
  virtual Tensor do_join_heads(std::span<const HeadColumns> parts, DType dtype,
                               const Position& first_position);
  virtual void do_store_heads(CacheRows& cache, std::span<const HeadColumns> parts,
                              const Position& first_position);
  virtual void do_place_each(std::span<HeadRows> all);
  virtual NormedSum do_add_rms_norm(const Tensor& x, const Tensor& y, const RmsParameters& norm,
                                    DType dtype);

 private:
  virtual Weight do_prepare(Weight w, const PartialSums& sums) = 0;
  virtual Tensor do_matmul(const Tensor& x, const Weight& w, const PartialSums& sums) = 0;
  virtual Tensor do_gather_matmul(const Tensor& x, const Weight& w, const GatherIndices& indices,
                                  const PartialSums& sums) = 0;
  virtual Tensor do_mix_matmul(const Tensor& x, const Weight& w, const Mixture& mixture,
                               const PartialSums& sums) = 0;
  virtual Tensor do_transpose(const Weight& w, int64_t first, int64_t count) = 0;
  virtual Tensor do_finish_sums(const Tensor& pieces, const PartialSums& sums) = 0;
  virtual Routing do_route(const Tensor& logits, const RoutingRule& rule,
                           std::span<const float> correction) = 0;
  virtual std::shared_ptr<const DispatchedRows> do_dispatch(const Routing& routing,
                                                            std::span<const HeldRows> held,
                                                            const Await& await) = 0;
  virtual Tensor do_spread_weights(const Routing& routing, int64_t experts) = 0;
  virtual Tensor do_gather_rows(const Tensor& x, const Weight& w, const DispatchedRows& rows,
                                const SumTree& tree, DType dtype);
  virtual Tensor do_mix_rows(const Tensor& x, const Weight& w, const DispatchedRows& rows,
                             const AxisSums& sums);
  virtual Tensor do_expert_rows(const Weight& w, const DispatchedRows& rows);
  virtual Tensor do_embedding(const Weight& w, const TokenIds& ids) = 0;
  virtual Tensor do_embedding_part(const Weight& w, const TokenIds& ids,
                                   const TableParts& parts) = 0;
  virtual Tensor do_pick_rows(const Tensor& pieces, const TokenIds& ids,
                              std::span<const HeldRows> held) = 0;
  virtual Tensor do_rms_norm(const Tensor& x, const Tensor& w, float eps, DType dtype) = 0;
  virtual Tensor do_layer_norm(const Tensor& x, const NormParameters& norm, DType dtype) = 0;
  virtual Tensor do_sum_squares(const Tensor& x) = 0;
  virtual Tensor do_rms_norm_part(const Tensor& x, const Tensor& w, const RowSquares& squares,
                                  DType dtype) = 0;
  virtual void do_rope(Tensor& x, const RopeTable& table, const Position& first_position) = 0;
  virtual void do_cache_store(CacheRows& cache, const Tensor& x,
                              const Position& first_position) = 0;
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
  int index = 0;          // of the GPU, among backend_devices()
};

// The instruction paths of a device that this machine can run, the fastest first. Throws
// Error(kUnsupported) that lists the backends built in.
std::vector<std::string_view> backend_paths(std::string_view device);

// Of a contraction axis that ranks divide, the most parts whose sums a device's kernels combine
// (Dimension::with_parts); 0: any number.
int most_parts(std::string_view device);

// What this process sees of a device that every rank needs for itself, as BackendOptions::index
// counts: bytes that tell it from all others anywhere. Empty where ranks share: "cpu".
std::vector<std::string> backend_devices(std::string_view device);

// By device name ("cpu", "cuda"). Throws Error(kUnsupported) that lists the backends built in, or
// the paths that this machine can run.
std::unique_ptr<Backend> make_backend(std::string_view device, const BackendOptions& options);

}  // namespace strake
