// Stacks turned over have the very values of their codes.
#include <gtest/gtest.h>

#include "strake/ops/backend.h"
#include "support/bits.h"
#include "support/weights.h"

namespace strake {
namespace {

// Matrices [first, first + count) turned over, as float32.
Tensor expected_of(const Weight& w, int64_t first, int64_t count) {
  const int64_t rows = w.shape()[1], columns = w.shape()[2];
  const auto values = floats(values_of(w));
  std::vector<float> turned;
  for (int64_t matrix = first; matrix < first + count; ++matrix)
    for (int64_t column = 0; column < columns; ++column)
      for (int64_t row = 0; row < rows; ++row)
        turned.push_back(values[static_cast<size_t>((matrix * rows + row) * columns + column)]);
  return tensor_of(turned, {count, columns, rows});
}

// Blocks of 16 rows, and one that is not full.
constexpr int64_t kMatrices = 5, kRows = 37;

TEST(Transpose, HasTheVeryValues) {
  for (const std::string_view path : backend_paths("cpu"))
    for (const int threads : {1, 2, 5}) {
      const auto backend = make_backend("cpu", {.threads = threads, .path = std::string(path)});
      for (const WeightKind& kind : all_weight_kinds()) {
        SCOPED_TRACE(testing::Message() << kind.name << ", " << path << ", " << threads);
        const Weight w = kind.make(7, {kMatrices, kRows, 3 * kind.group()});
        const Weight prepared = backend->prepare(w);
        for (const auto& [first, count] : {std::pair{0, 5}, {1, 3}, {4, 1}, {5, 0}}) {
          const Tensor expected = expected_of(w, first, count);
          for (const Weight* each : {&w, &prepared}) {
            const Tensor found = backend->transpose(*each, first, count);
            EXPECT_TRUE(same_bits(found.to(DType::kF32), expected)) << count << " from " << first;
            if (!kind.format) {
              EXPECT_EQ(found.dtype(), kind.dtype);
            }
          }
        }
      }
    }
}

// Of products of a code and a scale: half the bytes.
TEST(Transpose, TakesBfloat16WhereThatIsExact) {
  const auto backend = make_backend("cpu", {});
  for (const char* mode : {"mxfp4", "mxfp8", "nvfp4", "affine"}) {
    const WeightKind kind{mode, Format::parse(mode)};
    const Tensor turned = backend->transpose(kind.make(1, {2, 16, kind.group()}), 0, 2);
    EXPECT_EQ(turned.dtype(), mode == std::string("affine") ? DType::kF32 : DType::kBF16) << mode;
  }
}

}  // namespace
}  // namespace strake
