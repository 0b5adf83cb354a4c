// The CUDA backend: one GPU, and the kernels for it.
#pragma once

#include <cuda_runtime.h>

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/recycled.h"
#include "ops/cuda/cache.h"
#include "ops/cuda/constants.h"
#include "ops/cuda/few_rows.h"
#include "ops/cuda/gpu_memory.h"
#include "ops/cuda/gpu_weight.h"
#include "ops/cuda/heads.h"
#include "ops/cuda/held_rows.h"
#include "ops/cuda/normed_heads.h"
#include "strake/ops/backend.h"

namespace strake::cuda {

// Everything is queued in the stream of the thread that asks (cudaStreamPerThread).
class CudaBackend final : public Backend {
 public:
  // Throws Error(kUnsupported) where there is no such GPU, or none that the kernels are built for.
  explicit CudaBackend(const BackendOptions& options);

  std::string_view name() const override { return "cuda"; }
  Place place() const override { return memory_; }
  int threads() const override { return 1; }
  std::string_view path() const override { return path_; }
  std::optional<int64_t> free_memory() const override;
  std::optional<double> copy_bandwidth() override;
  int64_t prompt_rows() const override { return 2048; }
  void require_valid(const Await& await) override;
  std::unique_ptr<Recording> record(const std::function<void()>& operations) override;
  std::unique_ptr<TokenChooser> token_chooser(const SamplingRule& rule,
                                              int64_t vocabulary) override;

 private:
  Weight do_prepare(Weight w, const PartialSums& sums) override;
  Tensor do_matmul(const Tensor& x, const Weight& w, const PartialSums& sums) override;
  Tensor do_matmul_to(const Tensor& x, const Weight& w, const SumTree& tree, DType dtype) override;
  void do_matmul_each(const Tensor& x, std::span<JointProduct> products,
                      const SumTree& tree) override;
  Tensor do_gather_matmul(const Tensor& x, const Weight& w, const GatherIndices& indices,
                          const PartialSums& sums) override;
  Tensor do_gather_matmul_to(const Tensor& x, const Weight& w, const GatherIndices& indices,
                             const SumTree& tree, DType dtype) override;
  Tensor do_head_matmul(const Tensor& x, const Weight& w, const SumTree& tree,
                        DType dtype) override;
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
  Tensor do_gather_rows(const Tensor& x, const Weight& w, const DispatchedRows& rows,
                        const SumTree& tree, DType dtype) override;
  void do_gather_rows_each(const Tensor& x, std::span<JointProduct> products,
                           const DispatchedRows& rows, const SumTree& tree) override;
  Tensor do_mix_rows(const Tensor& x, const Weight& w, const DispatchedRows& rows,
                     const AxisSums& sums) override;
  Tensor do_expert_rows(const Weight& w, const DispatchedRows& rows) override;
  Tensor do_embedding(const Weight& w, const TokenIds& ids) override;
  Tensor do_embedding_part(const Weight& w, const TokenIds& ids, const TableParts& parts) override;
  Tensor do_pick_rows(const Tensor& pieces, const TokenIds& ids,
                      std::span<const HeldRows> held) override;
  Tensor do_rms_norm(const Tensor& x, const Tensor& w, float eps, DType dtype) override;
  NormedSum do_add_rms_norm(const Tensor& x, const Tensor& y, const RmsParameters& norm,
                            DType dtype) override;
  Tensor do_layer_norm(const Tensor& x, const NormParameters& norm, DType dtype) override;
  Tensor do_sum_squares(const Tensor& x) override;
  Tensor do_rms_norm_part(const Tensor& x, const Tensor& w, const RowSquares& squares,
                          DType dtype) override;
  void do_rope(Tensor& x, const RopeTable& table, const Position& first_position) override;
  void do_cache_store(CacheRows& cache, const Tensor& x, const Position& first_position) override;
  void do_place_heads(Tensor& q, NewHeads& heads, CacheRows& keys, CacheRows& values,
                      const Position& first_position) override;
  Tensor do_join_heads(std::span<const HeadColumns> parts, DType dtype,
                       const Position& first_position) override;
  void do_store_heads(CacheRows& cache, std::span<const HeadColumns> parts,
                      const Position& first_position) override;
  void do_place_each(std::span<HeadRows> all) override;
  Tensor do_attention(const Tensor& q, const AttentionRows& cached,
                      const AttentionView& view) override;
  Tensor do_select_keys(const Tensor& q, const Tensor& weights, const CacheRows& keys,
                        const IndexView& view) override;
  Tensor do_gated(const Tensor& gate, const Tensor& up, Activation activation) override;
  Tensor do_add(const Tensor& x, const Tensor& y) override;
  Tensor do_scale(const Tensor& x, float factor) override;

  // Rows that multiply one matrix, as products take them.
  struct Operand {
    const void* data;
    DType dtype;
    int64_t rows;
  };
  // x, in bfloat16 parts below each other where it is of another dtype.
  Tensor in_parts(const Tensor& x);
  // out [nodes, rows, outputs] = x times matrix `index`; what the order of its sums is may depend
  // on the number of rows.
  void multiply(const Operand& x, const GpuWeight& w, int64_t index, const PartialSums& sums,
                float* out);
  // Where one goes, rounded to this dtype.
  struct Result {
    void* data;
    DType dtype;
  };
  // What runs right before and after it with the same x.
  struct Neighbours {
    bool before;
    bool after;
  };
  void multiply_packed(const Operand& x, const GpuWeight& w, int64_t index, const PartialSums& sums,
                       Result out, Neighbours neighbours = {});
  // The root's sums, of any number of rows.
  Tensor multiply_to(const Tensor& x, const JointProduct& product, const SumTree& tree,
                     Neighbours neighbours);
  FewRowsWorkspace workspace(const FewRowsCall& call);
  // Where there is some, or may be.
  float* many_rows_workspace();
  // Runs the call with the workspace, ahead of its predecessor's end where it may.
  void run(const FewRowsCall& call);
  Tensor combine_leaves(const Tensor& leaves, const PartialSums& sums);
  Tensor gather_by_matrix(const Tensor& x, const GpuWeight& w, const GatherIndices& indices,
                          const PartialSums& sums);
  // Rows of x with an expert each, all told in device memory: `dtype` [nodes, rows, N].
  std::optional<Tensor> gather_few(const Tensor& x, const GpuWeight& w, const ExpertRows& rows,
                                   const PartialSums& order, DType dtype);
  // The same of rows that the host knows.
  std::optional<Tensor> gather_few(const Tensor& x, const GpuWeight& w,
                                   const GatherIndices& indices, const PartialSums& sums,
                                   DType dtype);
  Tensor mix_few(const Tensor& x, const GpuWeight& w, const ExpertRows& rows, const AxisSums& sums);
  Tensor mix_by_matrix(const Tensor& x, const GpuWeight& w, const Mixture& mixture,
                       const PartialSums& sums);

  template <class T>
  Tensor upload(std::span<const T> values) {
    return Tensor::from<T>(values, {static_cast<int64_t>(values.size())}).at(memory_);
  }
  Rope rope_of(const RopeTable& table);
  // What one launch makes of columns that are to go beside each other; nothing where it cannot.
  std::optional<HeadJobs> jobs_of(std::span<const HeadColumns> parts, DType dtype);
  // The same for rows that are normed, among others; makes their result, if there is to be one.
  std::optional<Recycled<NormedHeads>> normed_of(HeadRows& rows);
  CachedSequence cached_sequence(const CacheRows& keys, const CacheRows& values) const;
  const int32_t* address_of(const Position& position) {
    return position.on_device != nullptr ? position.on_device : constants_.position(position.first);
  }
  // Ids in device memory: the caller's, or a copy that must live as long as kernels are queued.
  Tensor on_device(const TokenIds& ids) {
    return ids.on_device != nullptr ? *ids.on_device : upload(ids.ids);
  }
  HeldTable held_table(std::span<const HeldRows> held) {
    return {constants_.find(held), static_cast<int>(held.size())};
  }
  Tensor rows_at(const Weight& w, const Tensor& indices);  // int32, in device memory

  std::shared_ptr<GpuMemory> gpu_memory_;
  std::shared_ptr<Memory> memory_;  // the same
  Constants constants_;
  std::string path_;
  FewRowsDevice few_rows_;
  ManyRowsDevice many_rows_;
  std::optional<Tensor> workspace_;     // zeros, of few_rows()
  std::optional<Tensor> waiting_sums_;  // zeros at first, of many_rows()
  // Weights are read before the kernel before has ended: not those that it may have packed.
  Order next_product_ = Order::kAfter;
  // What has been queued of products with few rows, and what before the last routing.
  int64_t few_rows_calls_ = 0;
  struct {
    const int32_t* experts = nullptr;
    int64_t calls_before = 0;
  } last_route_;
  Tensor invalid_;  // int32 [1]: whether some router's logit was not a number
  bool has_routed_ = false;
};

}  // namespace strake::cuda
