// Products of experts' few rows on the device, against float64 and the CPU's decoded weights.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <string>
#include <vector>

#include "few_rows_case.h"
#include "ops/cuda/few_rows.h"

namespace strake::cuda {
namespace {

class FewRowsOfExperts : public testing::Test {};

TEST_F(FewRowsOfExperts, MultiplyTheirMatrices) {
  Random random(seed() + 4);
  for (const std::string_view mode : {"mxfp4", "mxfp8", "nvfp4", "affine"})
    for (const int64_t tokens : {1, 3, 8, 16}) {
      SCOPED_TRACE(std::string(mode) + ", tokens " + std::to_string(tokens));
      ExpertCase c(random, draw(random, 2, 40), tokens, draw(random, 1, 8));
      const Kind kind = {Format::parse(mode), DType::kBF16, std::string(mode)};
      const auto cuts = random_cuts(random, 8, kind.format->group_size(), 3);
      c.k = cuts.back();
      const SumTree tree(cuts);
      const PartialSums whole{tree, kRoot};
      const HostWeight host = random_weight(random, kind, {c.matrices, c.n, c.k});
      const DeviceWeight weight(host, leaves_of(whole));
      const DeviceRows x = DeviceRows::random(random, DType::kBF16, tokens, c.k, 0);
      const std::vector<float> w = host.values(), magnitudes = host.magnitudes();
      // One row names a matrix that is not there: it is left out.
      c.matrix[0] = static_cast<int32_t>(c.matrices);
      const DeviceBytes matrix = DeviceBytes::of(c.matrix), source = DeviceBytes::of(c.source);
      FewRowsCall call = call_of(weight, x, static_cast<int>(tokens), steps_of(whole));
      call.experts.rows = c.rows();
      call.experts.matrices = static_cast<int>(c.matrices);
      call.experts.matrix = matrix.data<int32_t>();
      call.experts.source = source.data<int32_t>();
      const auto found = run(call, c.rows() * c.n, false);
      for (int64_t row = 0; row < c.rows(); ++row)
        for (int64_t i = 0; i < c.n; ++i) {
          const float value = found[static_cast<size_t>(row * c.n + i)];
          if (row == 0) {
            ASSERT_EQ(std::bit_cast<uint32_t>(value), kPoison);
            continue;
          }
          const int64_t at = (c.matrix[static_cast<size_t>(row)] * c.n + i) * c.k;
          const Exact expected = exact(x.values.data() + c.source[static_cast<size_t>(row)] * c.k,
                                       w.data() + at, magnitudes.data() + at, c.k);
          ASSERT_LE(std::fabs(static_cast<double>(value) - expected.sum),
                    rounding(c.k) * expected.magnitude)
              << "row " << row << ", output " << i;
        }
    }
}

// Two stacks that the same rows go through, as each by itself.
TEST_F(FewRowsOfExperts, HaveTheSameBitsWhereStacksAreJoined) {
  Random random(seed() + 6);
  for (const std::string_view mode : {"mxfp4", "mxfp8", "nvfp4", "affine"})
    for (const int64_t tokens : {1, 3, 8, 16}) {
      SCOPED_TRACE(std::string(mode) + ", tokens " + std::to_string(tokens));
      const ExpertCase c(random, draw(random, 2, 40), tokens, draw(random, 1, 8));
      const Kind kind = {Format::parse(mode), DType::kBF16, std::string(mode)};
      const auto cuts = random_cuts(random, 8, kind.format->group_size(), 3);
      const int64_t k = cuts.back();
      const SumTree tree(cuts);
      const PartialSums whole{tree, kRoot};
      const int64_t outputs[] = {c.n, draw(random, 1, 50)};
      const DeviceWeight weights[] = {
          {random_weight(random, kind, {c.matrices, outputs[0], k}), leaves_of(whole)},
          {random_weight(random, kind, {c.matrices, outputs[1], k}), leaves_of(whole)}};
      const DeviceRows x = DeviceRows::random(random, DType::kBF16, tokens, k, 0);
      const DeviceBytes matrix = DeviceBytes::of(c.matrix), source = DeviceBytes::of(c.source);
      const auto call_for = [&](const DeviceWeight& weight) {
        FewRowsCall call = call_of(weight, x, static_cast<int>(tokens), steps_of(whole));
        call.experts.rows = c.rows();
        call.experts.matrices = static_cast<int>(c.matrices);
        call.experts.matrix = matrix.data<int32_t>();
        call.experts.source = source.data<int32_t>();
        return call;
      };
      const auto first = run(call_for(weights[0]), c.rows() * outputs[0]);
      const auto second = run(call_for(weights[1]), c.rows() * outputs[1]);
      DeviceBytes room(c.rows() * outputs[1] * 4);
      const JoinedProduct joined[] = {{weights[1].packed, room.data()}};
      FewRowsCall both = call_for(weights[0]);
      both.joined = joined;
      // So few multiprocessors that a block has items of several visits and of both stacks.
      FewRowsDevice device = few_rows_device();
      device.multiprocessors = static_cast<int>(draw(random, 1, 4));
      const auto found = run_on(device, both, c.rows() * outputs[0]);
      EXPECT_TRUE(same_bits(found.data(), first.data(), c.rows() * outputs[0]));
      EXPECT_TRUE(same_bits(room.get<float>().data(), second.data(), c.rows() * outputs[1]));
    }
}

// Heads: a matrix and a row each. Blocks bring the rows of theirs, or one block all.
TEST_F(FewRowsOfExperts, HaveTheSameBitsWhoeverBringsTheirRows) {
  Random random(seed() + 7);
  for (const std::string_view mode : {"mxfp4", "mxfp8", "nvfp4", "affine"})
    for (const int64_t tokens : {1, 3})
      for (const int64_t padding : {0, 5}) {
        SCOPED_TRACE(std::string(mode) + ", tokens " + std::to_string(tokens));
        const int64_t heads = draw(random, 20, 40), rows = tokens * heads, n = draw(random, 1, 50);
        const Kind kind = {Format::parse(mode), DType::kBF16, std::string(mode)};
        const auto cuts = random_cuts(random, 3, kind.format->group_size(), 3);
        const SumTree tree(cuts);
        const PartialSums whole{tree, kRoot};
        const HostWeight host = random_weight(random, kind, {heads, n, cuts.back()});
        const DeviceWeight weight(host, leaves_of(whole));
        const DeviceRows x = DeviceRows::random(random, DType::kBF16, rows, cuts.back(), padding);
        std::vector<int32_t> matrices;
        for (int64_t i = 0; i < rows; ++i) matrices.push_back(static_cast<int32_t>(i % heads));
        const DeviceBytes matrix = DeviceBytes::of(matrices);
        FewRowsCall call = call_of(weight, x, static_cast<int>(rows), steps_of(whole));
        call.experts.rows = static_cast<int>(rows);
        call.experts.matrices = static_cast<int>(heads);
        call.experts.matrix = matrix.data<int32_t>();
        call.experts.most_rows = static_cast<int>(tokens);
        FewRowsDevice one = few_rows_device();
        one.multiprocessors = 1;
        EXPECT_EQ(run(call, rows * n), run_on(one, call, rows * n));
      }
}

TEST_F(FewRowsOfExperts, AreSummedForEachToken) {
  Random random(seed() + 5);
  std::vector<Kind> kinds;
  for (const std::string_view mode : {"mxfp4", "mxfp8", "nvfp4", "affine"})
    kinds.push_back({Format::parse(mode), DType::kBF16, std::string(mode)});
  kinds.push_back({Format::parse("affine"), DType::kF32, "affine F32"});
  for (const Kind& kind : kinds)
    for (const int64_t tokens : {1, 2, 3, 8, 16}) {
      SCOPED_TRACE(kind.name + ", tokens " + std::to_string(tokens));
      const int64_t each = draw(random, 1, 8);
      ExpertCase c(random, draw(random, 2, 40), tokens, each);
      // Leaves of which a stage of weights has several visits', or a part of one's.
      const auto cuts = tokens == 2 ? random_cuts(random, 2, kind.format->group_size(), 40)
                                    : random_cuts(random, 8, kind.format->group_size(), 3);
      c.k = cuts.back();
      const SumTree tree(cuts);
      const PartialSums whole{tree, kRoot};
      const HostWeight host = random_weight(random, kind, {c.matrices, c.n, c.k});
      const DeviceWeight weight(host, leaves_of(whole));
      const DeviceRows x = DeviceRows::random(random, DType::kBF16, c.rows(), c.k, 0);
      const std::vector<float> w = host.values(), magnitudes = host.magnitudes();
      const DeviceBytes matrix = DeviceBytes::of(c.matrix), token = DeviceBytes::of(c.token),
                        factor = DeviceBytes::of(c.factor);
      const FewRowsCall call =
          mixture_call(call_of(weight, x, c.rows(), steps_of(whole)), c, matrix, token, factor);
      const auto found = run(call, tokens * c.n);
      for (int64_t t = 0; t < tokens; ++t)
        for (int64_t i = 0; i < c.n; ++i) {
          Exact expected;
          for (int64_t row = t * each; row < (t + 1) * each; ++row) {
            const int64_t at = (c.matrix[static_cast<size_t>(row)] * c.n + i) * c.k;
            const Exact one =
                exact(x.values.data() + row * c.k, w.data() + at, magnitudes.data() + at, c.k);
            const auto by = static_cast<double>(c.factor[static_cast<size_t>(row)]);
            expected.sum += by * one.sum;
            expected.magnitude += std::fabs(by) * one.magnitude;
          }
          ASSERT_LE(std::fabs(static_cast<double>(found[static_cast<size_t>(t * c.n + i)]) -
                              expected.sum),
                    rounding(c.k) * expected.magnitude)
              << "token " << t << ", output " << i;
        }
      // A token alone, and groups of matrices that are summed each for itself.
      ExpertCase last = c;
      last.tokens = 1;
      last.matrix.erase(last.matrix.begin(), last.matrix.end() - each);
      last.token.assign(static_cast<size_t>(each), 0);
      const DeviceBytes last_matrix = DeviceBytes::of(last.matrix),
                        last_token = DeviceBytes::of(last.token),
                        last_factor = DeviceBytes::of(
                            std::vector<float>(c.factor.end() - each, c.factor.end()));
      FewRowsCall alone = mixture_call(call_of(weight, x, static_cast<int>(each), steps_of(whole)),
                                       last, last_matrix, last_token, last_factor);
      alone.x = x.row((tokens - 1) * each);
      ASSERT_TRUE(same_bits(run(alone, c.n).data(), found.data() + (tokens - 1) * c.n, c.n));
      FewRowsCall grouped = call;
      const auto cut = static_cast<int32_t>(draw(random, 0, c.matrices));
      grouped.experts.groups = 2;
      grouped.experts.group_cuts[1] = cut;
      grouped.experts.group_cuts[2] = static_cast<int32_t>(c.matrices);
      const auto both = run(grouped, 2 * tokens * c.n);
      for (int group = 0; group < 2; ++group) {
        FewRowsCall part = call;
        part.experts.first_matrix = group == 0 ? 0 : cut;
        part.experts.matrices = group == 0 ? cut : static_cast<int>(c.matrices) - cut;
        part.experts.group_cuts[1] = part.experts.matrices;
        part.weight.codes = static_cast<const uint8_t*>(call.weight.codes) +
                            part.experts.first_matrix * call.weight.shape.code_bytes();
        part.weight.scales = static_cast<const uint8_t*>(call.weight.scales) +
                             part.experts.first_matrix * call.weight.shape.scale_bytes();
        ASSERT_TRUE(same_bits(run(part, tokens * c.n).data(), both.data() + group * tokens * c.n,
                              tokens * c.n));
      }
    }
}

}  // namespace
}  // namespace strake::cuda
