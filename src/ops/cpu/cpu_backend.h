// The CPU backend: a team of threads and the kernels of one instruction path.
#pragma once

#include <span>
#include <vector>

#include "ops/cpu/grouping.h"
#include "ops/cpu/matmul.h"
#include "ops/cpu/path.h"
#include "ops/cpu/scratch.h"
#include "ops/cpu/sum_schedule.h"
#include "strake/base/thread_pool.h"
#include "strake/ops/backend.h"

namespace strake::cpu {

class CpuBackend final : public Backend {
 public:
  explicit CpuBackend(const BackendOptions& options)
      : pool_(options.threads), path_(find_path(options.path)), scratch_(options.threads) {}

  std::string_view name() const override { return "cpu"; }
  Place place() const override { return Device::cpu(); }
  int threads() const override { return pool_.size(); }
  std::string_view path() const override { return name_of(path_); }

 private:
  Weight do_prepare(Weight w, const PartialSums& sums) override;
  Tensor do_matmul(const Tensor& x, const Weight& w, const PartialSums& sums) override;
  Tensor do_gather_matmul(const Tensor& x, const Weight& w, const GatherIndices& indices,
                          const PartialSums& sums) override;
  Tensor do_mix_matmul(const Tensor& x, const Weight& w, const Mixture& mixture,
                       const PartialSums& sums) override;
  Tensor do_transpose(const Weight& w, int64_t first, int64_t count) override;
  Tensor do_finish_sums(const Tensor& pieces, const PartialSums& sums) override;
  Routing do_route(const Tensor& logits, const RoutingRule& rule,
                   std::span<const float> correction) override;
  std::shared_ptr<const DispatchedRows> do_dispatch(const Routing& routing,
                                                    std::span<const HeldRows> held,
                                                    const Await& await) override;
  Tensor do_spread_weights(const Routing& routing, int64_t experts) override;
  Tensor do_embedding(const Weight& w, const TokenIds& ids) override;
  Tensor do_embedding_part(const Weight& w, const TokenIds& ids, const TableParts& parts) override;
  Tensor do_pick_rows(const Tensor& pieces, const TokenIds& ids,
                      std::span<const HeldRows> held) override;
  Tensor do_rms_norm(const Tensor& x, const Tensor& w, float eps, DType dtype) override;
  Tensor do_layer_norm(const Tensor& x, const NormParameters& norm, DType dtype) override;
  Tensor do_sum_squares(const Tensor& x) override;
  Tensor do_rms_norm_part(const Tensor& x, const Tensor& w, const RowSquares& squares,
                          DType dtype) override;
  void do_rope(Tensor& x, const RopeTable& table, const Position& first_position) override;
  void do_cache_store(CacheRows& cache, const Tensor& x, const Position& first_position) override;
  Tensor do_attention(const Tensor& q, const AttentionRows& cached,
                      const AttentionView& view) override;
  Tensor do_select_keys(const Tensor& q, const Tensor& weights, const CacheRows& keys,
                        const IndexView& view) override;
  Tensor do_gated(const Tensor& gate, const Tensor& up, Activation activation) override;
  Tensor do_add(const Tensor& x, const Tensor& y) override;
  Tensor do_scale(const Tensor& x, float factor) override;

  // The products of targets_, grouped by matrix: each multiplies all of its rows at once.
  std::span<const MatrixProduct> assign_products(const Tensor& x, const ProductKernels& kernels,
                                                 const BlockLayout& layout);

  ThreadPool pool_;
  Path path_;
  // What calls work with, in memory that the next one takes over.
  Scratch scratch_;
  std::vector<float> shared_;  // what threads compute for each other
  Grouping groups_;            // of heads, or of a product's rows
  SumSchedule schedule_;
  std::vector<RowTarget> targets_;
  std::vector<MatrixProduct> products_;
  SumSchedule leaves_;  // of a mixture's products, each leaf by itself
};

}  // namespace strake::cpu
