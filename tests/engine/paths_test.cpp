#include "engine/paths.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "strake/base/error.h"
#include "strake/comm/thread_group.h"
#include "strake/ops/backend.h"

namespace strake {
namespace {

using testing::HasSubstr;
using Paths = std::vector<std::vector<std::string>>;

std::string message_of(const Paths& paths, std::string_view forced) {
  try {
    choose_path(paths, forced);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUnsupported);
    return error.what();
  }
  return "";
}

TEST(Paths, TheFastestThatAllRanksHave) {
  EXPECT_EQ(choose_path(Paths{{"wide", "narrow", "plain"}}, ""), "wide");
  EXPECT_EQ(choose_path(Paths{{"wide", "narrow", "plain"}, {"narrow", "plain"}}, ""), "narrow");
  EXPECT_EQ(choose_path(Paths{{"narrow", "plain"}, {"wide", "narrow", "plain"}}, ""), "narrow");
  EXPECT_EQ(choose_path(Paths{{"wide", "plain"}, {"narrow", "plain"}, {"plain"}}, ""), "plain");
}

TEST(Paths, AForcedPathMustBeEverywhere) {
  const Paths paths{{"wide", "plain"}, {"plain"}};
  EXPECT_EQ(choose_path(paths, "plain"), "plain");
  EXPECT_EQ(message_of(paths, "wide"), "path 'wide' cannot run on rank 1, which has: plain");
}

TEST(Paths, NoneInCommon) {
  EXPECT_THAT(message_of({{"wide"}, {"narrow"}}, ""), HasSubstr("rank 1 has narrow"));
}

TEST(Paths, RanksAgree) {
  run_ranks(3, {}, [](Group& group) {
    EXPECT_EQ(agree_on_path(group, "cpu", ""), backend_paths("cpu").front());
    EXPECT_EQ(agree_on_path(group, "cpu", "portable"), "portable");
    EXPECT_THROW(agree_on_path(group, "cpu", "none"), Error);
  });
}

}  // namespace
}  // namespace strake
