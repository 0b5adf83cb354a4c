// Mixtures of experts, and rows of tables.
#include "ops/expect.h"
#include "strake/ops/backend.h"

namespace strake {
namespace {

void check_ids(std::string_view op, const TokenIds& ids) {
  if (ids.on_device == nullptr) return;
  expect(ids.on_device->dtype() == DType::kI32 && ids.on_device->elements() == ids.count(), op,
         "I32 ids [{}] on the device expected, found {}", ids.count(), *ids.on_device);
}

void check_held(std::string_view op, std::span<const HeldRows> held) {
  for (const HeldRows& rows : held)
    expect(0 <= rows.begin && rows.begin <= rows.end && rows.part >= 0 && rows.first >= 0, op,
           "held rows that ascend expected, found [{}, {}) at {} of part {}", rows.begin, rows.end,
           rows.first, rows.part);
}

constexpr int kRoot[] = {0};

void check_gather(const Tensor& x, const Weight& w, const GatherIndices& indices,
                  const PartialSums& sums) {
  check_product("gather_matmul", x, w, 3, sums);
  expect(indices.lhs.size() == indices.rhs.size(), "gather_matmul",
         "as many lhs as rhs indices expected, found {} and {}", indices.lhs.size(),
         indices.rhs.size());
  check_indices("gather_matmul", "lhs indices", indices.lhs, x.shape()[0]);
  check_indices("gather_matmul", "rhs indices", indices.rhs, w.shape()[0]);
}

// A whole product [1, rows, N].
Tensor rounded(const Tensor& product, DType dtype) {
  return product.reshape({product.shape()[1], product.shape()[2]}).to(dtype);
}

}  // namespace

Tensor Backend::gather_matmul(const Tensor& x, const Weight& w, const GatherIndices& indices,
                              const PartialSums& sums) {
  check_gather(x, w, indices, sums);
  return do_gather_matmul(x, w, indices, sums);
}

Tensor Backend::gather_matmul(const Tensor& x, const Weight& w, const GatherIndices& indices,
                              const SumTree& tree, DType dtype) {
  check_gather(x, w, indices, {tree, kRoot});
  expect_result("gather_matmul", dtype);
  return do_gather_matmul_to(x, w, indices, tree, dtype);
}

Tensor Backend::do_gather_matmul_to(const Tensor& x, const Weight& w, const GatherIndices& indices,
                                    const SumTree& tree, DType dtype) {
  return rounded(do_gather_matmul(x, w, indices, {tree, kRoot}), dtype);
}

Tensor Backend::mix_matmul(const Tensor& x, const Weight& w, const Mixture& mixture,
                           const PartialSums& sums) {
  check_operands("mix_matmul", x, w, 3);
  const bool inputs = mixture.axis == Mixture::Axis::kInputs;
  const int64_t summed = columns("mix_matmul", sums);
  expect(summed == (inputs ? w.shape()[2] : w.shape()[0]), "mix_matmul",
         "sums over the {} of {} expected, found {}", inputs ? "inputs" : "experts", w.shape(),
         summed);
  const auto rows = static_cast<size_t>(x.shape()[0]);
  expect(mixture.experts.size() == rows && mixture.tokens.size() == rows &&
             mixture.weights.size() == rows,
         "mix_matmul", "experts, tokens and weights of {} rows expected, found {}, {} and {}", rows,
         mixture.experts.size(), mixture.tokens.size(), mixture.weights.size());
  check_indices("mix_matmul", "experts", mixture.experts, w.shape()[0]);
  check_indices("mix_matmul", "tokens", mixture.tokens, mixture.count);
  return do_mix_matmul(x, w, mixture, sums);
}

Tensor Backend::do_gather_rows(const Tensor& x, const Weight& w, const DispatchedRows& rows,
                               const SumTree& tree, DType dtype) {
  return gather_matmul(x, w, rows.indices(), tree, dtype);
}

void Backend::do_gather_rows_each(const Tensor& x, std::span<JointProduct> products,
                                  const DispatchedRows& rows, const SumTree& tree) {
  for (JointProduct& product : products)
    product.result = do_gather_rows(x, product.weight, rows, tree, product.dtype);
}

Tensor Backend::do_mix_rows(const Tensor& x, const Weight& w, const DispatchedRows& rows,
                            const AxisSums& sums) {
  return mix_matmul(x, w, rows.mixture(sums.axis), sums.sums);
}

Tensor Backend::do_expert_rows(const Weight& w, const DispatchedRows& rows) {
  return embedding(w, rows.indices().rhs);
}

Routing Backend::route(const Tensor& logits, const RoutingRule& rule,
                       std::span<const float> correction) {
  expect(logits.dtype() == DType::kF32 && logits.shape().rank() == 2 &&
             logits.shape()[1] == rule.experts &&
             (correction.empty() || std::ssize(correction) == rule.experts),
         "router", "logits of {} experts expected, found {} and {} corrections", rule.experts,
         logits.shape(), correction.size());
  return do_route(logits, rule, correction);
}

std::shared_ptr<const DispatchedRows> Backend::dispatch(const Routing& routing,
                                                        std::span<const HeldRows> held,
                                                        const Await& await) {
  expect(routing.experts.dtype() == DType::kI32 && routing.experts.shape().rank() == 2 &&
             routing.weights.dtype() == DType::kF32 &&
             routing.weights.shape() == routing.experts.shape(),
         "dispatch", "I32 experts and F32 weights [rows, chosen] expected, found {} and {}",
         routing.experts, routing.weights);
  check_held("dispatch", held);
  return do_dispatch(routing, held, await);
}

Tensor Backend::spread_weights(const Routing& routing, int64_t experts) {
  return do_spread_weights(routing, experts);
}

Tensor Backend::gather_matmul(const Tensor& x, const Weight& w, const DispatchedRows& rows,
                              const SumTree& tree, DType dtype) {
  check_product("gather_matmul", x, w, 3, {tree, kRoot});
  expect_result("gather_matmul", dtype);
  return do_gather_rows(x, w, rows, tree, dtype);
}

void Backend::gather_matmul_each(const Tensor& x, std::span<JointProduct> products,
                                 const DispatchedRows& rows, const SumTree& tree) {
  for (const JointProduct& product : products) {
    check_product("gather_matmul", x, product.weight, 3, {tree, kRoot});
    expect_result("gather_matmul", product.dtype);
  }
  do_gather_rows_each(x, products, rows, tree);
}

Tensor Backend::mix_matmul(const Tensor& x, const Weight& w, const DispatchedRows& rows,
                           const AxisSums& sums) {
  check_operands("mix_matmul", x, w, 3);
  return do_mix_rows(x, w, rows, sums);
}

Tensor Backend::expert_rows(const Weight& w, const DispatchedRows& rows) {
  expect(w.shape().rank() == 2, "expert_rows", "a weight with 2 axes expected, found {}",
         w.shape());
  return do_expert_rows(w, rows);
}

Tensor Backend::embedding(const Weight& w, const TokenIds& ids) {
  expect(w.shape().rank() == 2, "embedding", "a weight with 2 axes expected, found {}", w.shape());
  check_indices("embedding", "ids", ids.ids, w.shape()[0]);
  check_ids("embedding", ids);
  return do_embedding(w, ids);
}

Tensor Backend::embedding_part(const Weight& w, const TokenIds& ids, const TableParts& parts) {
  expect(w.shape().rank() == 2, "embedding_part", "a weight with 2 axes expected, found {}",
         w.shape());
  check_ids("embedding_part", ids);
  check_held("embedding_part", parts.held);
  for (const HeldRows& rows : parts.held)
    expect(rows.part != parts.part || rows.first + rows.end - rows.begin <= w.shape()[0],
           "embedding_part", "{} rows of part {} expected, found more", w.shape()[0], parts.part);
  return do_embedding_part(w, ids, parts);
}

Tensor Backend::pick_rows(const Tensor& pieces, const TokenIds& ids,
                          std::span<const HeldRows> held) {
  expect_dtype("pick_rows", "pieces", pieces, DType::kF32, 3);
  expect(pieces.shape()[1] == ids.count(), "pick_rows", "pieces of {} ids expected, found {}",
         ids.count(), pieces);
  check_ids("pick_rows", ids);
  check_held("pick_rows", held);
  for (const HeldRows& rows : held)
    expect(rows.part < pieces.shape()[0], "pick_rows", "parts below {} expected, found {}",
           pieces.shape()[0], rows.part);
  return do_pick_rows(pieces, ids, held);
}

}  // namespace strake
