#include "strake/shard/segments.h"

#include <gmock/gmock.h>

#include <limits>

#include "io/expect_error.h"

namespace strake {
namespace {

using testing::ElementsAre;

std::vector<int64_t> bounds(const Segments& segments, int64_t extent, int64_t unit = 1) {
  return segments.bounds("layers.2.qkv", extent, unit);
}

void expect_refused(const std::string& part, const Segments& segments, int64_t extent,
                    int64_t unit = 1) {
  expect_error(ErrorKind::kUsage, "layers.2.qkv: " + part, [&] { bounds(segments, extent, unit); });
}

TEST(Segments, CountsArePartsOfOneSize) {
  EXPECT_THAT(bounds(Segments::count(1), 512, 64), ElementsAre(0, 512));
  EXPECT_THAT(bounds(Segments::count(3), 768), ElementsAre(0, 256, 512, 768));
  EXPECT_THAT(bounds(Segments::count(4), 512, 64), ElementsAre(0, 128, 256, 384, 512));
}

TEST(Segments, PositionsAreElementsWhateverTheUnit) {
  EXPECT_THAT(bounds(Segments::positions({256}), 512, 64), ElementsAre(0, 256, 512));
  EXPECT_THAT(bounds(Segments::positions({512, 640}), 768, 128), ElementsAre(0, 512, 640, 768));
  EXPECT_THAT(bounds(Segments::positions({}), 512, 64), ElementsAre(0, 512));
  EXPECT_THAT(bounds(Segments::positions({100}), 512), ElementsAre(0, 100, 512));
}

TEST(Segments, FractionsAreWholeElements) {
  EXPECT_THAT(bounds(Segments::fractions({0.5, 0.75}), 512, 64), ElementsAre(0, 256, 384, 512));
  // Not exact in binary, and truncation would make 57 of 100 * 0.58.
  EXPECT_THAT(bounds(Segments::fractions({1.0 / 3, 2.0 / 3}), 768), ElementsAre(0, 256, 512, 768));
  EXPECT_THAT(bounds(Segments::fractions({0.58}), 100), ElementsAre(0, 58, 100));
  EXPECT_THAT(bounds(Segments::fractions({0.1 + 0.2}), 10), ElementsAre(0, 3, 10));
}

TEST(Segments, RefuseCutsWithinAUnit) {
  expect_refused("segment cut 100 must be a multiple of 64", Segments::positions({100}), 512, 64);
  expect_refused("segment cut 96 must be a multiple of 64", Segments::positions({64, 96}), 512, 64);
  expect_refused("segment cut 32 must be a multiple of 64", Segments::count(16), 512, 64);
  expect_refused("segment cut 32 must be a multiple of 64", Segments::fractions({0.0625}), 512, 64);
}

TEST(Segments, RefuseCutsThatAreNotInside) {
  expect_refused("segment cut 512 expected between 0 and 512", Segments::positions({512}), 512);
  expect_refused("segment cut 4096 expected between 0 and 512", Segments::positions({4096}), 512);
  expect_refused("segment cut 0 expected", Segments::positions({0}), 512);
  expect_refused("segment cut -64 expected between 0 and 512", Segments::positions({-64}), 512, 64);
  expect_refused("segment cut 8 expected between 16 and 64", Segments::positions({16, 8}), 64);
  expect_refused("segment cut 16 expected between 16 and 64", Segments::positions({16, 16}), 64);
}

TEST(Segments, RefuseFractionsThatAreNoElement) {
  expect_refused("segment fraction 0.29 of 512 elements is 148.48, not a whole element",
                 Segments::fractions({0.29}), 512, 64);
  // A tolerance that grows too fast with the extent would take anything here.
  expect_refused("segment fraction 0.3 of 2147483647 elements", Segments::fractions({0.3}),
                 2147483647);
  for (const double outside : {0.0, 1.0, -0.5, 1.5, 1e300, std::numeric_limits<double>::infinity(),
                               std::numeric_limits<double>::quiet_NaN()})
    expect_refused("segment fraction ", Segments::fractions({outside}), 512);
  expect_refused("segment cut 128 expected between 256 and 512", Segments::fractions({0.5, 0.25}),
                 512);
}

TEST(Segments, RefuseCountsThatDoNotDivide) {
  expect_refused("512 elements do not divide into 3 equal segments", Segments::count(3), 512);
  expect_refused("512 elements do not divide into 0 equal segments", Segments::count(0), 512);
  expect_refused("512 elements do not divide into -2 equal segments", Segments::count(-2), 512);
  expect_refused("512 elements do not divide into 1024 equal segments", Segments::count(1024), 512);
}

TEST(Segments, RefuseExtentsThatAreNotWholeUnits) {
  for (const Segments& segments : {Segments::count(1), Segments::positions({32})}) {
    expect_refused("100 elements are not whole units of 64", segments, 100, 64);
    expect_refused("0 elements are not whole units of 64", segments, 0, 64);
    expect_refused("-64 elements are not whole units of 64", segments, -64, 64);
    expect_refused("64 elements are not whole units of 0", segments, 64, 0);
    expect_refused("at most 274877906944 elements expected, found 274877906945", segments,
                   274877906945);
  }
}

}  // namespace
}  // namespace strake
