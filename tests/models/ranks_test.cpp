// The promise, for every model: the same bits for every number of ranks.
#include "engine/convert.h"
#include "engine/verify.h"
#include "reference.h"
#include "support/temporary_directory.h"

namespace strake {
namespace {

constexpr int kRankCounts[] = {1, 2, 3, 4, 5, 8};

class Ranks : public testing::TestWithParam<std::string> {
 protected:
  void expect_equal(const SessionOptions& session) const {
    const auto prompts = ReferenceRun(GetParam()).prompts();
    const auto& ids = prompts.at(2).ids;
    for (const Verification& result : verify(session, kRankCounts, ids, {.decode_tokens = 2})) {
      EXPECT_TRUE(result.equal) << result.ranks << " ranks: " << result.first_difference;
      EXPECT_FALSE(result.trace.empty());
    }
  }
};

INSTANTIATE_TEST_SUITE_P(Models, Ranks, testing::ValuesIn(reference_models()), reference_name);

TEST_P(Ranks, HaveTheSameBitsDense) { expect_equal({.model = kReferences / GetParam()}); }

TEST_P(Ranks, HaveTheSameBitsQuantized) {
  for (const Format format : {Format::parse("mxfp8"), Format::parse("affine", 4, 32)}) {
    SCOPED_TRACE(format.to_string());
    const TemporaryDirectory directory;
    const auto model = directory.path() / "model";
    convert_checkpoint(kReferences / GetParam(), model, {.format = format});
    expect_equal({.model = model});
  }
}

}  // namespace
}  // namespace strake
