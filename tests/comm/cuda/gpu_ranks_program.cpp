// Ranks as processes, each with a GPU: gpu_ranks_program MODE --ranks N [--deadline MS] [--mark
// TEXT]
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "comm/communicators.h"
#include "comm/cuda/exchanges.h"
#include "launch.h"
#include "strake/base/error.h"

namespace strake {
namespace {

void run_mode(const std::string& mode, Group& group) {
  if (mode == "silent") {
    std::fputs(exchange_alone(group).c_str(), stderr);
    group.abort("a rank was silent", exit_code(ErrorKind::kCommunication));
  }
  if (mode == "bits") {
    check_gathers(group);
    check_sums(group);
  }
  if (mode == "replays") check_replays(group);
  if (group.rank() == 0) std::puts("bits agree");
}

int run(const std::vector<std::string>& arguments) {
  GroupOptions options;
  LaunchOptions launch;
  for (size_t i = 1; i + 1 < arguments.size(); i += 2) {
    if (arguments[i] == "--ranks") launch.ranks = std::stoi(arguments[i + 1]);
    if (arguments[i] == "--deadline")
      options.deadline = std::chrono::milliseconds(std::stoi(arguments[i + 1]));
  }
  if (!is_launched_rank()) return launch_ranks(launch, arguments);
  const auto group = make_group(options);
  try {
    run_mode(arguments.at(0), *group);
  } catch (const Error& error) {
    group->abort(error.what(), exit_code(error.kind()));
  }
  return 0;
}

}  // namespace
}  // namespace strake

int main(int count, char** words) {
  return strake::run(std::vector<std::string>(words + 1, words + count));
}
