#include "engine/devices.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "strake/base/error.h"
#include "strake/comm/thread_group.h"

namespace strake {
namespace {

using testing::ElementsAre;
using Devices = std::vector<std::vector<std::string>>;

TEST(Devices, RanksThatSeeTheSameTakeTheNext) {
  EXPECT_THAT(choose_devices(Devices{{"a", "b", "c"}, {"a", "b", "c"}}, "gpu"), ElementsAre(0, 1));
}

TEST(Devices, RanksThatSeeTheirOwnTakeThat) {
  EXPECT_THAT(choose_devices(Devices{{"a"}, {"b"}, {"c", "d"}, {"c", "d"}}, "gpu"),
              ElementsAre(0, 0, 0, 1));
}

TEST(Devices, RanksThatShareHaveNoChoice) {
  EXPECT_THAT(choose_devices(Devices{{}, {}, {}}, "cpu"), ElementsAre(0, 0, 0));
}

TEST(Devices, OneIsMissing) {
  try {
    choose_devices(Devices{{"a", "b"}, {"a", "b"}, {"a", "b"}}, "gpu");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUnsupported);
    EXPECT_STREQ(error.what(),
                 "gpu: a GPU for each rank expected: rank 2 sees 2, which ranks before it have");
  }
}

TEST(Devices, RanksAgree) {
  run_ranks(3, {}, [](Group& group) { EXPECT_EQ(agree_on_device(group, "cpu"), 0); });
}

TEST(Devices, AMachineWithoutThePathIsRefused) {
  require_machine("cpu", "", 16);
  require_machine("cpu", "portable", 2);
  EXPECT_THROW(require_machine("cpu", "none", 1), Error);
  EXPECT_THROW(require_machine("tpu", "", 1), Error);
}

}  // namespace
}  // namespace strake
