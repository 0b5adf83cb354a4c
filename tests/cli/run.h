// Runs the command line as a user does.
#pragma once

#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "base/files.h"
#include "base/json.h"
#include "support/temporary_directory.h"

namespace strake {

struct RunResult {
  int code;
  std::string out;
  std::string err;
  Json json() const { return parse_json(out, "standard output"); }
};

// `before` is shell text in front of the program: "ulimit -f 8; ", "mpirun -n 2 ".
inline RunResult run_strake(const std::string& arguments, const std::string& before = "") {
  const TemporaryDirectory directory;
  const auto out = directory.path() / "out";
  const auto err = directory.path() / "err";
  const int status = std::system((before + STRAKE_PROGRAM " " + arguments + " >" + out.string() +
                                  " 2>" + err.string() + " </dev/null")
                                     .c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), read_text_file(out),
          read_text_file(err)};
}

inline const std::string kDense = STRAKE_TEST_DATA "/models/llama";
inline const std::string kShipped = STRAKE_SOURCE_DIR "/models/tiny-llama-mxfp8";

}  // namespace strake
