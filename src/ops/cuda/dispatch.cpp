// Which experts tokens go to, and the products of those rows.
#include <utility>
#include <vector>

#include "ops/cuda/cuda_backend.h"
#include "ops/cuda/few_rows_call.h"
#include "ops/cuda/gpu_rows.h"
#include "ops/cuda/operands.h"
#include "ops/cuda/routing.h"

namespace strake::cuda {
namespace {

const cudaStream_t kStream = cudaStreamPerThread;

RouteRule::Scores scores_of(RoutingRule::Scores scores) {
  switch (scores) {
    case RoutingRule::Scores::kSoftmax:
      return RouteRule::Scores::kSoftmax;
    case RoutingRule::Scores::kSoftmaxOfChosen:
      return RouteRule::Scores::kSoftmaxOfChosen;
    case RoutingRule::Scores::kSigmoid:
      return RouteRule::Scores::kSigmoid;
  }
  fail(ErrorKind::kInternal, "route: no such scores");
}

RouteRule::Weights weights_of(RoutingRule::Weights weights) {
  switch (weights) {
    case RoutingRule::Weights::kScores:
      return RouteRule::Weights::kScores;
    case RoutingRule::Weights::kNormalized:
      return RouteRule::Weights::kNormalized;
  }
  fail(ErrorKind::kInternal, "route: no such weights");
}

RouteRule route_rule(const RoutingRule& rule) {
  return {.experts = static_cast<int>(rule.experts),
          .chosen = static_cast<int>(rule.chosen),
          .scores = scores_of(rule.scores),
          .weights = weights_of(rule.weights),
          .scale = rule.scale,
          .groups = static_cast<int>(rule.groups),
          .chosen_groups = static_cast<int>(rule.chosen_groups),
          .group_terms = static_cast<int>(rule.group_terms)};
}

// Whether the kernel for few rows multiplies them, if they fit.
bool is_few_of_experts(const Tensor& x, const GpuWeight& w) {
  return w.rows() == nullptr && x.dtype() == DType::kBF16;
}

bool can_go_together(const GpuWeight& a, const GpuWeight& b) {
  return a.matrices() == b.matrices() && b.shape().elements() > 0 &&
         a.is_divided() == b.is_divided() && can_join(a.packed(), b.packed());
}

// Of rows that stay apart; what it writes to is still to be told.
FewRowsCall gather_call(const Tensor& x, const GpuWeight& w, const ExpertRows& rows,
                        const PartialSums& order) {
  FewRowsCall call = few_rows_call(x, w, order);
  call.experts = rows;
  ExpertRows& experts = call.experts;
  experts.matrices = static_cast<int>(w.matrices());
  experts.source = std::exchange(experts.token, nullptr);
  experts.factor = nullptr;
  experts.tokens = 0;
  return call;
}

}  // namespace

void CudaBackend::require_valid(const Await& await) {
  if (!has_routed_) return;
  if (invalid_.on_host(await).data<int32_t>()[0] == 0) return;
  memory_->clear(invalid_.mutable_bytes().data(), invalid_.nbytes());
  refuse_routing();
}

Routing CudaBackend::do_route(const Tensor& logits, const RoutingRule& rule,
                              std::span<const float> correction) {
  has_routed_ = true;
  const int64_t rows = logits.shape()[0];
  Routing result{Tensor::empty(DType::kI32, {rows, rule.chosen}, memory_),
                 Tensor::empty(DType::kF32, {rows, rule.chosen}, memory_)};
  last_route_ = {integers(result.experts), few_rows_calls_};
  cuda::route(route_rule(rule), floats(logits),
              correction.empty() ? nullptr : constants_.find(correction), rows,
              {integers(result.experts), floats(result.weights), integers(invalid_)}, kStream);
  return result;
}

std::shared_ptr<const DispatchedRows> CudaBackend::do_dispatch(const Routing& routing,
                                                               std::span<const HeldRows> held,
                                                               const Await& await) {
  const int64_t rows = routing.experts.elements(), chosen = routing.chosen();
  auto result = std::make_shared<GpuRows>(routing, held, await);
  // The number of tokens alone decides: it is the same for every number of GPUs.
  if (routing.rows() > kFewTokens || rows > ExpertRows::kMost || rows == 0) return result;
  std::vector<int32_t> tokens;
  for (int64_t i = 0; i < rows; ++i) tokens.push_back(static_cast<int32_t>(i / chosen));
  ExpertRows few;
  few.rows = static_cast<int>(rows);
  few.matrix = integers(routing.experts);
  few.token = constants_.find(std::span<const int32_t>(tokens));
  few.factor = floats(routing.weights);
  few.tokens = static_cast<int>(routing.rows());
  std::optional<Tensor> own;
  if (held.size() == 1 && held[0].first == 0) {
    few.first_matrix = static_cast<int32_t>(held[0].begin);
  } else {
    own = routing.experts.beside(DType::kI32, routing.experts.shape());
    own_rows({few.matrix, rows, held_table(held), 0, -1, integers(*own)}, kStream);
    few.matrix = integers(*own);
  }
  few.known =
      !own && few.matrix == last_route_.experts && few_rows_calls_ > last_route_.calls_before;
  result->stay(few, std::move(own));
  return result;
}

Tensor CudaBackend::do_spread_weights(const Routing& routing, int64_t experts) {
  Tensor result = routing.weights.beside(DType::kF32, {routing.rows(), experts});
  cuda::spread_weights({integers(routing.experts), floats(routing.weights), routing.rows(),
                        routing.chosen(), experts, floats(result)},
                       kStream);
  return result;
}

Tensor CudaBackend::do_gather_rows(const Tensor& x, const Weight& w, const DispatchedRows& rows,
                                   const SumTree& tree, DType dtype) {
  JointProduct product[] = {{w, dtype}};
  do_gather_rows_each(x, product, rows, tree);
  return *product[0].result;
}

// Products go together with the first that they can join.
void CudaBackend::do_gather_rows_each(const Tensor& x, std::span<JointProduct> products,
                                      const DispatchedRows& rows, const SumTree& tree) {
  const auto& own = static_cast<const GpuRows&>(rows);
  const ExpertRows* const few = own.few();
  const int root[] = {0};
  const PartialSums whole{tree, root};
  for (JointProduct& product : products) product.result.reset();
  for (size_t i = 0; i < products.size(); ++i) {
    JointProduct& first = products[i];
    if (first.result) continue;
    const GpuWeight& weight = as_gpu_weight(first.weight);
    const auto make_room = [&](JointProduct& product) {
      product.result = x.beside(product.dtype, {few->rows, product.weight.shape()[1]});
      return product.result->mutable_bytes().data();
    };
    if (few != nullptr && first.weight.shape().elements() == 0) {
      make_room(first);
      continue;
    }
    FewRowsCall call = {};
    JoinedProduct joined[kMostJoined - 1] = {};
    JointProduct* others[kMostJoined - 1] = {};
    if (few != nullptr && is_few_of_experts(x, weight)) {
      call = gather_call(x, weight, *few, weight.is_divided() ? whole : weight.sums());
      size_t count = 0;
      for (JointProduct& other : products.subspan(i + 1)) {
        const GpuWeight& another = as_gpu_weight(other.weight);
        if (other.result || count == std::size(joined) || !is_few_of_experts(x, another) ||
            !can_go_together(weight, another))
          continue;
        others[count] = &other;
        joined[count++] = {another.packed(), nullptr, other.dtype};
      }
      call.joined = {joined, count};
      if (!few_rows_can(call, few_rows_)) call.joined = {};
    }
    if (call.experts.rows == 0 || !few_rows_can(call, few_rows_)) {
      first.result = do_gather_matmul_to(x, first.weight, rows.indices(), tree, first.dtype);
      continue;
    }
    call.out = make_room(first);
    call.out_dtype = first.dtype;
    for (size_t j = 0; j < call.joined.size(); ++j) joined[j].out = make_room(*others[j]);
    run(call);
    own.become_known();
  }
}

Tensor CudaBackend::do_mix_rows(const Tensor& x, const Weight& w, const DispatchedRows& rows,
                                const AxisSums& sums) {
  const auto& own = static_cast<const GpuRows&>(rows);
  const GpuWeight& weight = as_gpu_weight(w);
  if (own.few() != nullptr && x.dtype() == DType::kBF16 && weight.rows() == nullptr)
    return mix_few(x, weight, *own.few(), sums);
  return do_mix_matmul(x, w, own.mixture(sums.axis), sums.sums);
}

Tensor CudaBackend::do_expert_rows(const Weight& w, const DispatchedRows& rows) {
  const auto& own = static_cast<const GpuRows&>(rows);
  if (own.few() == nullptr) return rows_at(w, upload(own.indices().rhs));
  // Of experts that another rank holds, any row.
  const Tensor& experts = own.routing().experts;
  Tensor indices = experts.beside(DType::kI32, {experts.elements()});
  own_rows({integers(experts), experts.elements(), held_table(own.held()), 0, 0, integers(indices)},
           kStream);
  return rows_at(w, indices);
}

}  // namespace strake::cuda
