// Expecting an Error of a kind whose message says what it must.
#pragma once

#include <gmock/gmock.h>

#include <functional>
#include <string>

#include "strake/base/error.h"

namespace strake {

inline void expect_error(ErrorKind kind, const std::string& part,
                         const std::function<void()>& body) {
  try {
    body();
    ADD_FAILURE() << "no error; one that says \"" << part << "\" was expected";
  } catch (const Error& error) {
    EXPECT_EQ(to_string(error.kind()), std::string(to_string(kind))) << error.what();
    EXPECT_THAT(error.what(), testing::HasSubstr(part));
  }
}

}  // namespace strake
