// Products with few rows where blocks have slices of the leaves: the same bits as without.
#include "few_rows_case.h"

namespace strake::cuda {
namespace {

class FewRowsSlices : public testing::Test {
 protected:
  static void SetUpTestSuite() { seed(); }
};

// Activations of all leaves do not fit in shared memory, so that blocks divide the leaves.
TEST_F(FewRowsSlices, HaveTheSameBitsWhereActivationsAreMany) {
  Random random(seed() + 6);
  for (const std::string_view mode : {"mxfp4", "affine"}) {
    const Kind kind = {Format::parse(mode), DType::kBF16, std::string(mode)};
    for (const int leaves : {7, 16}) {
      const int64_t k = int64_t{leaves} * 1792, n = 16 * 40 + 5;
      std::vector<int64_t> cuts;
      for (int i = 0; i <= leaves; ++i) cuts.push_back(i * 1792);
      const SumTree tree(cuts);
      const PartialSums whole{tree, kRoot};
      const HostWeight host = random_weight(random, kind, {n, k});
      const DeviceWeight weight(host, leaves_of(whole));
      const DeviceRows x = DeviceRows::random(random, DType::kBF16, 16, k, 0);
      const auto one = run(call_of(weight, x, 1, steps_of(whole)), n);
      for (const int m : {8, 13, 16}) {
        const auto all = run(call_of(weight, x, m, steps_of(whole)), m * n);
        ASSERT_TRUE(same_bits(all.data(), one.data(), n)) << mode << ", rows " << m;
        FewRowsCall last = call_of(weight, x, 1, steps_of(whole));
        last.x = x.row(m - 1);
        const auto alone = run(last, n);
        ASSERT_TRUE(same_bits(all.data() + (m - 1) * n, alone.data(), n)) << mode << ", " << m;
      }
    }
  }
}

// A device with so little shared memory that activations have to be divided, and with so few
// multiprocessors that a block has many items, one after the other in the same places.
FewRowsDevice small_device(Random& random) {
  return {static_cast<int>(draw(random, 1, 40)), static_cast<int>(draw(random, 90, 140)) * 1024};
}

TEST_F(FewRowsSlices, HaveTheSameBitsOnASmallDevice) {
  Random random(seed() + 7);
  for (const Kind& kind : all_kinds()) {
    const DType x_dtype = kind.dtype == DType::kF16 ? DType::kF16 : DType::kBF16;
    for (const int leaves : {2, 3, 7, 8, 16}) {
      SCOPED_TRACE(kind.name + ", leaves " + std::to_string(leaves));
      const int64_t unit = kind.format ? kind.format->group_size() : 8;
      const auto cuts = random_cuts(random, leaves, unit, 1 + 4000 / (unit * leaves));
      const SumTree tree(cuts);
      const int64_t n = draw(random, 1, 1500);
      // All leaves, or those from one on, which may be several nodes'.
      const int64_t begin =
          cuts[static_cast<size_t>(draw(random, 0, 1) * draw(random, 0, leaves / 2))];
      const std::vector<int> nodes = tree.cover(begin, tree.extent());
      const PartialSums part{tree, nodes};
      const int64_t k = tree.extent() - begin, results = static_cast<int64_t>(nodes.size()) * n;
      const DeviceWeight weight(random_weight(random, kind, {n, k}), leaves_of(part));
      const DeviceRows x = DeviceRows::random(random, x_dtype, 16, k, 0);
      const LeafSteps steps = steps_of(part);
      for (const int m : {1, 8, 16}) {
        const FewRowsDevice device = small_device(random);
        const FewRowsCall call = call_of(weight, x, m, steps);
        if (!few_rows_can(call, device)) continue;
        const auto found = run_on(device, call, m * results);
        for (const int row : {0, m - 1}) {
          FewRowsCall one = call_of(weight, x, 1, steps);
          one.x = x.row(row);
          const auto alone = run(one, results);
          for (size_t node = 0; node < nodes.size(); ++node)
            ASSERT_TRUE(same_bits(found.data() + (static_cast<int64_t>(node) * m + row) * n,
                                  alone.data() + static_cast<int64_t>(node) * n, n))
                << "row " << row << " of " << m << ", node " << node << ", " << n << " outputs, "
                << device.multiprocessors << " multiprocessors, " << device.shared_bytes
                << " bytes";
        }
      }
    }
  }
}

TEST_F(FewRowsSlices, HaveTheSameBitsOfExperts) {
  Random random(seed() + 8);
  for (const std::string_view mode : {"mxfp4", "mxfp8", "affine"})
    for (const int64_t tokens : {1, 3, 8, 16})
      for (const int leaves : {3, 8}) {
        SCOPED_TRACE(std::string(mode) + ", tokens " + std::to_string(tokens) + ", leaves " +
                     std::to_string(leaves));
        const int64_t each = draw(random, 1, 4);
        ExpertCase c(random, draw(random, 2, 12), tokens, each);
        const Kind kind = {Format::parse(mode), DType::kBF16, std::string(mode)};
        const auto cuts = random_cuts(random, leaves, kind.format->group_size(), 6);
        c.k = cuts.back();
        c.n = draw(random, 1, 400);
        const SumTree tree(cuts);
        const PartialSums whole{tree, kRoot};
        const DeviceWeight weight(random_weight(random, kind, {c.matrices, c.n, c.k}),
                                  leaves_of(whole));
        const DeviceRows x = DeviceRows::random(random, DType::kBF16, c.rows(), c.k, 0);
        const DeviceBytes matrix = DeviceBytes::of(c.matrix), token = DeviceBytes::of(c.token),
                          factor = DeviceBytes::of(c.factor);
        const FewRowsCall mixed =
            mixture_call(call_of(weight, x, c.rows(), steps_of(whole)), c, matrix, token, factor);
        FewRowsCall apart = call_of(weight, x, c.rows(), steps_of(whole));
        apart.experts.rows = c.rows();
        apart.experts.matrices = static_cast<int>(c.matrices);
        apart.experts.matrix = matrix.data<int32_t>();
        const FewRowsDevice device = small_device(random);
        for (const auto& [call, rows] :
             {std::pair{mixed, tokens}, std::pair{apart, int64_t{c.rows()}}}) {
          if (!few_rows_can(call, device)) continue;
          const auto found = run_on(device, call, rows * c.n), expected = run(call, rows * c.n);
          ASSERT_TRUE(same_bits(found.data(), expected.data(), rows * c.n));
        }
      }
}

}  // namespace
}  // namespace strake::cuda
