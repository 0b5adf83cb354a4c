#include "base/unwinding.h"

#include <gtest/gtest.h>

#include <stdexcept>

namespace strake {
namespace {

struct Seen {
  bool& unwinding;
  Unwinding is_unwinding = {};
  ~Seen() { unwinding = static_cast<bool>(is_unwinding); }
};

TEST(Unwinding, IsSoForWhatWasThereBeforeTheException) {
  bool outer = false, inner = true, within = true;
  struct Outer {
    bool& within;
    ~Outer() { const Seen seen{within}; }
  };
  try {
    const Seen seen{outer};
    { const Seen gone{inner}; }
    const Outer cleans_up{within};
    throw std::runtime_error("");
  } catch (const std::runtime_error&) {
    EXPECT_TRUE(outer);
    EXPECT_FALSE(inner);
    // Made and gone while the exception was on its way.
    EXPECT_FALSE(within);
    bool handled = true;
    { const Seen seen{handled}; }
    EXPECT_FALSE(handled);
  }
}

}  // namespace
}  // namespace strake
