#include "strake/base/error.h"

#include <gmock/gmock.h>

#include <cerrno>
#include <set>
#include <string>

#include "base/fail.h"
#include "io/expect_error.h"

namespace strake {
namespace {

constexpr ErrorKind kKinds[] = {ErrorKind::kUsage,       ErrorKind::kCheckpoint,
                                ErrorKind::kUnsupported, ErrorKind::kCommunication,
                                ErrorKind::kSystem,      ErrorKind::kInternal};

TEST(Error, KindsHaveExitCodesOfTheirOwn) {
  std::set<int> codes;
  std::set<std::string> names;
  for (const ErrorKind kind : kKinds) {
    codes.insert(exit_code(kind));
    names.insert(to_string(kind));
  }
  EXPECT_EQ(codes, (std::set<int>{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(names.size(), 6u);
  EXPECT_EQ(exit_code(ErrorKind::kInternal), 1);
  EXPECT_EQ(exit_code(ErrorKind::kUsage), 2);
  EXPECT_EQ(exit_code(ErrorKind::kCheckpoint), 3);
  EXPECT_EQ(exit_code(ErrorKind::kUnsupported), 4);
  EXPECT_EQ(exit_code(ErrorKind::kCommunication), 5);
  EXPECT_EQ(exit_code(ErrorKind::kSystem), 6);
}

TEST(Error, CarriesKindAndMessage) {
  for (const ErrorKind kind : kKinds)
    expect_error(kind, "w.scales: 3 expected, found 4",
                 [&] { fail(kind, "{}: {} expected, found {}", "w.scales", 3, 4); });
}

TEST(Error, SystemCallsAddTheirReason) {
  expect_error(ErrorKind::kSystem, "cannot open x: No such file or directory", [] {
    errno = ENOENT;
    fail_errno("cannot open {}", "x");
  });
}

}  // namespace
}  // namespace strake
