// Products with dense weights of any types on the device, against float64.
#include "ops/cuda/dense_rows.h"

#include <gtest/gtest.h>

#include <bit>
#include <string>

#include "ops/cuda/leaf_steps.h"
#include "packed_case.h"

namespace strake::cuda {
namespace {

TEST(DenseRows, MultipliesEveryPairOfTypes) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  Random random(seed);
  for (const DType w_dtype : {DType::kF32, DType::kF16, DType::kBF16})
    for (const DType x_dtype : {DType::kF32, DType::kF16, DType::kBF16})
      for (const int leaves : {1, 3, 16}) {
        std::vector<int64_t> cuts = {0};
        for (int i = 0; i < leaves; ++i) cuts.push_back(cuts.back() + draw(random, 1, 200));
        const SumTree tree(cuts);
        const int root[] = {0};
        const PartialSums sums{tree, root};
        const int64_t n = draw(random, 1, 50), m = draw(random, 1, 20), k = cuts.back();
        const HostWeight weight = random_dense(random, w_dtype, {n, k});
        const HostWeight x = random_dense(random, x_dtype, {m, k});
        const DeviceBytes w_bytes = DeviceBytes::of(weight.dense.bytes());
        const DeviceBytes x_bytes = DeviceBytes::of(x.dense.bytes());
        DeviceBytes out(m * n * 4);
        out.fill(0xff);
        dense_rows({w_bytes.data(), w_dtype, static_cast<int>(n), leaves_of(sums), steps_of(sums),
                    x_bytes.data(), x_dtype, k, static_cast<int>(m), out.data<float>()},
                   nullptr);
        check(cudaDeviceSynchronize(), "dense rows");
        const auto found = out.get<float>();
        const std::vector<float> a = x.values(), b = weight.values();
        for (int64_t row = 0; row < m; ++row)
          for (int64_t i = 0; i < n; ++i) {
            double sum = 0, magnitude = 0;
            for (int64_t at = 0; at < k; ++at) {
              const double term = static_cast<double>(a[static_cast<size_t>(row * k + at)]) *
                                  static_cast<double>(b[static_cast<size_t>(i * k + at)]);
              sum += term;
              magnitude += std::fabs(term);
            }
            ASSERT_LE(std::fabs(static_cast<double>(found[static_cast<size_t>(row * n + i)]) - sum),
                      0x1p-22 * magnitude)
                << "row " << row << ", output " << i << ", leaves " << leaves;
          }
      }
}

}  // namespace
}  // namespace strake::cuda
