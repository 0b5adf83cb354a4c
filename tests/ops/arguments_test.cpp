// What every operation refuses, by its name.
#include <gtest/gtest.h>

#include <limits>

#include "io/expect_error.h"
#include "quant/tensors.h"
#include "strake/ops/backend.h"

namespace strake {
namespace {

class Arguments : public testing::Test {
 protected:
  static void expect_refused(const std::string& part, const std::function<void()>& call) {
    expect_error(ErrorKind::kUsage, part, call);
  }
  static Tensor f32(Shape shape) { return Tensor::zeros(DType::kF32, std::move(shape)); }

  std::unique_ptr<Backend> backend_ = make_backend("cpu", {});
  const SumTree whole_ = SumTree::whole(64);
  const std::vector<int> root_{0};
  const PartialSums sums_{whole_, root_};
  const std::vector<int32_t> ids_{0, 1};
};

TEST_F(Arguments, OfMatmul) {
  const Weight w = f32({8, 64});
  expect_refused("matmul: floating x [rows, in] expected, found U8 [2, 64]", [&] {
    backend_->matmul(Tensor::zeros(DType::kU8, {2, 64}), w, sums_);
  });
  expect_refused("matmul: floating x [rows, in] expected, found F32 [64]",
                 [&] { backend_->matmul(f32({64}), w, sums_); });
  expect_refused("matmul: a weight with 2 axes expected, found [2, 8, 64]", [&] {
    backend_->matmul(f32({2, 64}), f32({2, 8, 64}), sums_);
  });
  expect_refused("matmul: a weight of 32 inputs, as x has expected, found [8, 64]", [&] {
    backend_->matmul(f32({2, 32}), w, sums_);
  });
  const SumTree other = SumTree::whole(32);
  expect_refused("matmul: sums over 64 inputs, as x has expected, found 32", [&] {
    backend_->matmul(f32({2, 64}), w, {other, root_});
  });
  for (const int node : {-1, 1, std::numeric_limits<int>::max()}) {
    const std::vector<int> nodes{node};
    expect_refused("matmul: nodes of a tree of 1 expected, found " + std::to_string(node), [&] {
      backend_->matmul(f32({2, 64}), w, {whole_, nodes});
    });
  }
}

TEST_F(Arguments, OfHeadMatmul) {
  const auto refused = [&](const std::string& part, const Tensor& x, const Weight& w,
                           DType dtype = DType::kF32) {
    expect_refused("head_matmul: " + part, [&] { backend_->head_matmul(x, w, whole_, dtype); });
  };
  const Weight w = f32({3, 8, 64});
  refused("floating x with 3 axes expected, found F32 [3, 64]", f32({3, 64}), w);
  refused("a weight [2, N, up to 70] expected, found [3, 8, 64]", f32({1, 2, 70}), w);
  refused("a weight [3, N, up to 60] expected, found [3, 8, 64]", f32({1, 3, 60}), w);
  refused("a weight [3, N, up to 64] expected, found [8, 64]", f32({1, 3, 64}), f32({8, 64}));
  refused("sums over 32 inputs expected, found 64", f32({1, 3, 64}), f32({3, 8, 32}));
  refused("a floating result expected, found U8", f32({1, 3, 64}), w, DType::kU8);
}

TEST_F(Arguments, OfGatherMatmul) {
  const Weight w = f32({4, 8, 64});
  const auto refused = [&](const std::string& part, const Weight& weight,
                           const std::vector<int32_t>& lhs, const std::vector<int32_t>& rhs) {
    expect_refused("gather_matmul: " + part, [&] {
      backend_->gather_matmul(f32({2, 64}), weight, {lhs, rhs}, sums_);
    });
  };
  refused("a weight with 3 axes expected, found [8, 64]", f32({8, 64}), {0}, {0});
  refused("a weight of 64 inputs, as x has expected, found [4, 8, 32]", f32({4, 8, 32}), {0}, {0});
  refused("as many lhs as rhs indices expected, found 2 and 1", w, {0, 1}, {0});
  refused("lhs indices below 2 expected, found 2", w, {0, 2}, {0, 0});
  refused("lhs indices below 2 expected, found -1", w, {-1}, {0});
  refused("rhs indices below 4 expected, found 4", w, {0}, {4});
  refused("rhs indices below 4 expected, found -2", w, {0}, {-2});
}

TEST_F(Arguments, OfTranspose) {
  const auto refused = [&](const std::string& part, const Weight& w, int64_t first, int64_t count) {
    expect_refused("transpose: " + part, [&] { backend_->transpose(w, first, count); });
  };
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  refused("a weight with 3 axes expected, found [8, 64]", f32({8, 64}), 0, 1);
  refused("some of 4 matrices expected, found 1 from -1 on", f32({4, 8, 64}), -1, 1);
  refused("some of 4 matrices expected, found 3 from 2 on", f32({4, 8, 64}), 2, 3);
  refused("some of 4 matrices expected, found -1 from 2 on", f32({4, 8, 64}), 2, -1);
  refused("some of 4 matrices expected, found " + std::to_string(kMost) + " from 4 on",
          f32({4, 8, 64}), 4, kMost);
}

TEST_F(Arguments, OfFinishSums) {
  const int64_t cuts[] = {0, 16, 32, 48, 64};
  const SumTree tree(cuts);
  const auto refused = [&](const std::string& part, const Tensor& pieces,
                           const std::vector<int>& nodes) {
    expect_refused("finish_sums: " + part, [&] { backend_->finish_sums(pieces, {tree, nodes}); });
  };
  const int left = tree.node(0).left, right = tree.node(0).right;
  refused("F32 pieces of 2 nodes expected, found F32 [1, 3]", f32({1, 3}), {left, right});
  refused("F32 pieces of 1 nodes expected, found BF16 [1, 3]", Tensor::zeros(DType::kBF16, {1, 3}),
          {0});
  refused("F32 pieces of 1 nodes expected, found F32 []", f32({}), {0});
  refused("nodes that cover 64 elements once expected, found 1 of 32 elements", f32({1, 3}),
          {left});
  refused("nodes that cover 64 elements once expected, found 2 of 96", f32({2, 3}), {0, left});
  // As many elements as there are, but the same half twice.
  refused("nodes that cover 64 elements once expected, found 2 of 64", f32({2, 3}), {left, left});
  refused("nodes of a tree of 7 expected, found 7", f32({1, 3}), {7});
}

TEST_F(Arguments, OfEmbedding) {
  expect_refused("embedding: a weight with 2 axes expected, found [2, 3, 4]", [&] {
    backend_->embedding(f32({2, 3, 4}), ids_);
  });
  for (const int32_t id : {-1, 2}) {
    const std::vector<int32_t> ids{0, id};
    expect_refused("embedding: ids below 2 expected, found " + std::to_string(id), [&] {
      backend_->embedding(f32({2, 4}), ids);
    });
  }
}

TEST_F(Arguments, OfRmsNorm) {
  const auto refused = [&](const std::string& part, const Tensor& x, const Tensor& w,
                           DType dtype = DType::kF32) {
    expect_refused("rms_norm: " + part, [&] { backend_->rms_norm(x, w, 1e-5f, dtype); });
  };
  refused("x of F32 with 2 axes expected, found BF16 [2, 4]", Tensor::zeros(DType::kBF16, {2, 4}),
          f32({4}));
  refused("x of F32 with 2 axes expected, found F32 [4]", f32({4}), f32({4}));
  refused("a floating weight [4] expected, found F32 [3]", f32({2, 4}), f32({3}));
  refused("a floating weight [4] expected, found U32 [4]", f32({2, 4}),
          Tensor::zeros(DType::kU32, {4}));
  refused("a floating result expected, found U8", f32({2, 4}), f32({4}), DType::kU8);
}

TEST_F(Arguments, OfRope) {
  const auto refused = [&](const std::string& part, Tensor x, int64_t dims, Shape frequencies,
                           int64_t first = 0) {
    expect_refused("rope: " + part, [&] {
      backend_->rope(x, {RopeTable::Pairs::kHalves, dims, f32(std::move(frequencies))}, first);
    });
  };
  refused("floating x with 3 axes expected, found F32 [2, 8]", f32({2, 8}), 8, {4});
  refused("floating x with 3 axes expected, found I32", Tensor::zeros(DType::kI32, {1, 2, 8}), 8,
          {4});
  refused("an even number of at most 8 dimensions expected, found 10", f32({1, 2, 8}), 10, {5});
  refused("an even number of at most 8 dimensions expected, found 7", f32({1, 2, 8}), 7, {3});
  refused("-1 frequencies expected", f32({1, 2, 8}), -2, {1});
  refused("4 frequencies expected, found F32 [3]", f32({1, 2, 8}), 8, {3});
  refused("frequencies of F32 with 1 axes expected", f32({1, 2, 8}), 8, {2, 2});
  refused("a position of at least 0 expected, found -1", f32({1, 2, 8}), 8, {4}, -1);
}

TEST_F(Arguments, OfCacheStore) {
  const auto refused = [&](const std::string& part, Tensor cache, const Tensor& x, int64_t first) {
    expect_refused("cache_store: " + part, [&] {
      CacheRows rows(cache);
      backend_->cache_store(rows, x, first);
    });
  };
  refused("x of F32 with 3 axes expected, found BF16", f32({2, 8, 4}),
          Tensor::zeros(DType::kBF16, {1, 2, 4}), 0);
  refused("x [rows, 2, 4] expected, found F32 [1, 3, 4]", f32({2, 8, 4}), f32({1, 3, 4}), 0);
  refused("x [rows, 2, 4] expected, found F32 [1, 2, 5]", f32({2, 8, 4}), f32({1, 2, 5}), 0);
  refused("positions below 8 expected, found 2 rows from 7 on", f32({2, 8, 4}), f32({2, 2, 4}), 7);
  refused("positions below 8 expected", f32({2, 8, 4}), f32({1, 2, 4}), -1);
  refused("positions below 8 expected", f32({2, 8, 4}), f32({1, 2, 4}),
          std::numeric_limits<int64_t>::max());
}

TEST_F(Arguments, OfHeadColumns) {
  const RopeTable rope{RopeTable::Pairs::kHalves, 4, f32({2})};
  const Tensor x = f32({2, 3, 8}), other = f32({2, 1, 8}),
               whole = Tensor::zeros(DType::kU8, {2, 3, 8});
  const auto refused = [&](const std::string& part, const std::vector<HeadColumns>& columns,
                           int64_t first = 0) {
    expect_refused(part, [&] { backend_->join_heads(columns, DType::kF32, first); });
    CacheRows cache(f32({3, 9, 8}));
    expect_refused(part, [&] { backend_->store_heads(cache, columns, first); });
  };
  refused("columns expected, found none", {});
  refused("floating x with 3 axes expected, found U8", {{whole, 0, 8}});
  refused("as many rows and heads expected, found F32 [2, 3, 8], F32 [2, 1, 8]",
          {{x, 0, 4}, {other, 4, 8}});
  refused("columns of F32 [2, 3, 8] expected, found [4, 9)", {{x, 4, 9}});
  refused("columns of F32 [2, 3, 8] expected, found [-1, 2)", {{x, -1, 2}});
  refused("columns of F32 [2, 3, 8] expected, found [5, 4)", {{x, 5, 4}});
  refused("rope: an even number of at most 3 dimensions expected, found 4",
          {{x, 0, 5}, {x, 5, 8, &rope}});
  refused("rope: a position of at least 0 expected, found -1", {{x, 0, 8, &rope}}, -1);
  const HeadColumns columns[] = {{x, 0, 7}}, all[] = {{x, 0, 8}};
  expect_refused("join_heads: a floating result expected, found U8",
                 [&] { backend_->join_heads(all, DType::kU8, 0); });
  CacheRows cache(f32({3, 9, 8}));
  expect_refused("store_heads: 3 heads of 8 columns expected, found 3 of 7",
                 [&] { backend_->store_heads(cache, columns, 0); });
  expect_refused("cache_store: positions below 9 expected, found 2 rows from 8 on",
                 [&] { backend_->store_heads(cache, all, 8); });
}

TEST_F(Arguments, OfNormedHeads) {
  const Tensor x = f32({2, 3, 8}), weight = f32({8}), bias = f32({7});
  const auto refused = [&](const std::string& part, const HeadColumns& columns, HeadRows rows) {
    rows.columns = {&columns, 1};
    expect_refused(part, [&] { backend_->place_each({&rows, 1}); });
  };
  CacheRows cache(f32({3, 9, 8}));
  const HeadRows good{{}, 0, 2, 0, DType::kF32};
  const RowNorm norm{weight, nullptr, 1e-6f};
  refused("place_each: F32 x for a norm expected, found BF16 [2, 3, 8]",
          {x.to(DType::kBF16), 0, 8, nullptr, norm}, good);
  refused("place_each: a floating norm [7] expected, found F32 [8]", {x, 0, 7, nullptr, norm},
          good);
  refused("place_each: a floating norm [8] expected, found F32 [7]",
          {x, 0, 8, nullptr, RowNorm{weight, &bias, 1e-6f}}, good);
  const HeadColumns columns{x, 0, 8, nullptr, norm};
  refused("place_each: rows of F32 [2, 3, 8] expected, found [1, 3)", columns,
          {{}, 1, 3, 0, DType::kF32});
  refused("place_each: a floating result expected, found U8", columns, {{}, 0, 2, 0, DType::kU8});
  refused("place_each: a cache of BF16 expected, found F32", columns,
          {{}, 0, 2, 0, DType::kBF16, &cache});
  refused("3 heads of 8 columns expected, found 3 of 7", {x, 0, 7},
          {{}, 0, 2, 0, DType::kF32, &cache});
  refused("positions below 9 expected, found 2 rows from 8 on", columns,
          {{}, 0, 2, 8, DType::kF32, &cache});
}

TEST_F(Arguments, OfAttention) {
  const std::vector<int32_t> one{0};
  const auto refused = [&](const std::string& part, const Tensor& q, const Tensor& values,
                           const AttentionView& view) {
    expect_refused("attention: " + part, [&] {
      backend_->attention(q, f32({2, 8, 4}), values, view);
    });
  };
  const AttentionView good{ids_, 0, 1.0f, std::nullopt};
  refused("floating q with 3 axes expected", f32({2, 4}), f32({2, 8, 4}), good);
  refused("keys of BF16 expected, found F32", Tensor::zeros(DType::kBF16, {1, 2, 4}),
          f32({2, 8, 4}), good);
  refused("values of F32 expected, found F16", f32({1, 2, 4}),
          Tensor::zeros(DType::kF16, {2, 8, 4}), good);
  refused("keys and values [heads, slots, D] that fit q", f32({1, 2, 5}), f32({2, 8, 4}), good);
  refused("keys and values [heads, slots, D] that fit q", f32({1, 2, 4}), f32({2, 7, 4}), good);
  refused("keys and values [heads, slots, D] that fit q", f32({1, 2, 4}), f32({1, 8, 4}), good);
  refused("2 head indices expected, found 1", f32({1, 2, 4}), f32({2, 8, 4}),
          {one, 0, 1.0f, std::nullopt});
  for (const int32_t head : {-1, 2}) {
    const std::vector<int32_t> heads{0, head};
    refused("key-value heads below 2 expected, found " + std::to_string(head), f32({1, 2, 4}),
            f32({2, 8, 4}), {heads, 0, 1.0f, std::nullopt});
  }
  for (const int64_t first : {int64_t{-1}, int64_t{8}, std::numeric_limits<int64_t>::max()})
    refused("positions below 8 expected, found 1 rows from " + std::to_string(first),
            f32({1, 2, 4}), f32({2, 8, 4}), {ids_, first, 1.0f, std::nullopt});
  for (const int64_t window : {0, -3})
    refused("a window of at least 1 position expected, found " + std::to_string(window),
            f32({1, 2, 4}), f32({2, 8, 4}), {ids_, 0, 1.0f, window});
}

TEST_F(Arguments, OfGatedAddAndScale) {
  expect_refused("gated: floating gate with 2 axes expected, found F32 [4]",
                 [&] { backend_->gated(f32({4}), f32({4}), Activation::kSilu); });
  expect_refused("gated: up like gate, F32 [2, 4] expected, found F32 [2, 3]", [&] {
    backend_->gated(f32({2, 4}), f32({2, 3}), Activation::kSilu);
  });
  expect_refused("gated: up like gate", [&] {
    backend_->gated(f32({2, 4}), Tensor::zeros(DType::kF16, {2, 4}), Activation::kSilu);
  });
  expect_refused("add: F32 operands expected, found F32 [2, 4] and BF16 [2, 4]", [&] {
    backend_->add(f32({2, 4}), Tensor::zeros(DType::kBF16, {2, 4}));
  });
  for (const Shape& shape : {Shape{2, 3}, Shape{3}, Shape{2}, Shape{1, 4}, Shape{}})
    expect_refused("add: equal shapes, or one row to add to each", [&] {
      backend_->add(f32({2, 4}), f32(shape));
    });
  expect_refused("add: equal shapes, or one row to add to each",
                 [&] { backend_->add(f32({}), f32({1})); });
}

TEST_F(Arguments, OfMakeBackend) {
  expect_error(ErrorKind::kUnsupported, "device 'tpu' is not built in; this build has: cpu",
               [] { make_backend("tpu", {}); });
  for (const int threads : {0, -1})
    expect_refused("found " + std::to_string(threads),
                   [&] { make_backend("cpu", {.threads = threads}); });
}

}  // namespace
}  // namespace strake
