#include "engine/probes.h"

#include <gtest/gtest.h>

#include "strake/base/error.h"
#include "strake/ops/backend.h"

namespace strake {
namespace {

TEST(Probes, MeasureTheProductsOfEveryPath) {
  for (const std::string_view path : backend_paths("cpu"))
    EXPECT_GT(Probes(1, path).product_rate(), 0) << path;
  EXPECT_THROW(Probes(1, "abacus"), Error);
}

}  // namespace
}  // namespace strake
