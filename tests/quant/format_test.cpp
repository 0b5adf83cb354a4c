#include "strake/quant/format.h"

#include <gmock/gmock.h>

#include <set>

#include "io/expect_error.h"
#include "quant/format_list.h"

namespace strake {
namespace {

using testing::HasSubstr;

TEST(Format, ListsEveryLegalCombinationOnce) {
  std::set<std::string> names;
  for (const Format format : Format::all()) {
    EXPECT_EQ(Format::parse(format.mode_name(), format.bits(), format.group_size()), format);
    names.insert(format.to_string());
  }
  EXPECT_EQ(names.size(), 6u * 3u + 3u);
  EXPECT_EQ(Format::all().size(), names.size());
  for (const int bits : {2, 3, 4, 5, 6, 8})
    for (const int group_size : {32, 64, 128}) {
      const Format format = Format::parse("affine", bits, group_size);
      EXPECT_EQ(format.mode(), Mode::kAffine);
      EXPECT_EQ(format.bits(), bits);
      EXPECT_EQ(format.group_size(), group_size);
      EXPECT_TRUE(format.has_biases());
    }
}

TEST(Format, TakesTheDefaultsOfTheMode) {
  EXPECT_EQ(Format::parse("affine").to_string(), "affine (4 bits, groups of 64)");
  EXPECT_EQ(Format::parse("affine", 8).to_string(), "affine (8 bits, groups of 64)");
  EXPECT_EQ(Format::parse("affine", std::nullopt, 32).to_string(), "affine (4 bits, groups of 32)");
  EXPECT_EQ(Format::parse("mxfp4").to_string(), "mxfp4 (4 bits, groups of 32)");
  EXPECT_EQ(Format::parse("mxfp8").to_string(), "mxfp8 (8 bits, groups of 32)");
  EXPECT_EQ(Format::parse("nvfp4").to_string(), "nvfp4 (4 bits, groups of 16)");
  EXPECT_FALSE(Format::parse("nvfp4").has_biases());
}

TEST(Format, RefusesEveryOtherCombination) {
  int legal = 0;
  for (const char* mode : {"affine", "mxfp4", "mxfp8", "nvfp4"})
    for (int bits = -1; bits <= 33; ++bits)
      for (const int group_size : {-32, 0, 1, 8, 16, 31, 32, 48, 64, 96, 128, 256}) {
        try {
          const Format format = Format::parse(mode, bits, group_size);
          EXPECT_EQ(format.bits(), bits);
          EXPECT_EQ(format.group_size(), group_size);
          EXPECT_EQ(format.mode_name(), mode);
          ++legal;
        } catch (const Error& error) {
          EXPECT_EQ(error.kind(), ErrorKind::kUsage);
          EXPECT_THAT(error.what(), HasSubstr("legal (bits/group size): "));
        }
      }
  EXPECT_EQ(legal, 21);
}

TEST(Format, SaysWhatIsLegal) {
  expect_error(ErrorKind::kUsage,
               "mode mxfp4 has no 4-bit format with groups of 64; legal (bits/group size): 4/32",
               [] { Format::parse("mxfp4", std::nullopt, 64); });
  expect_error(ErrorKind::kUsage,
               "mode nvfp4 has no 4-bit format with groups of 32; legal (bits/group size): 4/16",
               [] { Format::parse("nvfp4", 4, 32); });
  expect_error(ErrorKind::kUsage, "legal (bits/group size): 8/32",
               [] { Format::parse("mxfp8", 4); });
  expect_error(ErrorKind::kUsage, "2/32, 2/64, 2/128, 3/32", [] { Format::parse("affine", 7); });
  expect_error(ErrorKind::kUsage, "has no 4-bit format with groups of 16",
               [] { Format::parse("affine", 4, 16); });
  expect_error(ErrorKind::kUsage,
               "unknown quantization mode 'int4'; known: affine, mxfp4, mxfp8, nvfp4",
               [] { Format::parse("int4"); });
  expect_error(ErrorKind::kUsage, "unknown quantization mode ''", [] { Format::parse(""); });
  expect_error(ErrorKind::kUsage, "unknown quantization mode 'Affine'",
               [] { Format::parse("Affine"); });
}

TEST(Format, IsASpecOfTheSameNumbers) {
  for (const Format format : Format::all()) {
    visit_format(format, [&](auto spec) {
      using Spec = decltype(spec);
      EXPECT_EQ(Spec::kMode, format.mode());
      EXPECT_EQ(Spec::kBits, format.bits());
      EXPECT_EQ(Spec::kGroupSize, format.group_size());
      EXPECT_EQ(Spec::kHasBiases, format.has_biases());
      EXPECT_EQ(Spec::kWordsPerGroup, format.words(format.group_size()));
    });
  }
}

}  // namespace
}  // namespace strake
