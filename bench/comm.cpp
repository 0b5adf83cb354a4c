// Latency of collectives between ranks of one machine: bench_comm [ranks] [threads|processes]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "comm/communicators.h"
#include "launch.h"
#include "strake/comm/thread_group.h"

namespace strake {
namespace {

// Seconds for one call of `collective`: the best of several runs, since the machine may be busy.
template <class Collective>
double time_of(Group& group, int calls, const Collective& collective) {
  std::vector<double> seconds;
  for (int run = 0; run < 7; ++run) {
    group.barrier();
    const auto begin = std::chrono::steady_clock::now();
    for (int call = 0; call < calls; ++call) collective();
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;
    seconds.push_back(elapsed.count() / calls);
  }
  std::ranges::sort(seconds);
  return seconds[0];
}

void measure(Group& group) {
  const auto report = [&](const std::string& what, double seconds) {
    if (group.rank() == 0) std::printf("%-28s %9.2f us\n", what.c_str(), seconds * 1e6);
  };
  report("barrier", time_of(group, 2'000, [&] { group.barrier(); }));
  for (const int64_t bytes : {16, 4 << 10, 64 << 10, 1 << 20}) {
    std::vector<std::byte> all(bytes * group.size());
    const std::vector<int64_t> counts(group.size(), bytes);
    const auto mine = std::span(all).subspan(bytes * group.rank(), bytes);
    const int calls = static_cast<int>(std::clamp<int64_t>((64 << 20) / bytes, 50, 2'000));
    report("all_gather " + std::to_string(bytes) + " bytes",
           time_of(group, calls, [&] { group.all_gather(mine, all, counts); }));
    report("broadcast " + std::to_string(bytes) + " bytes",
           time_of(group, calls, [&] { group.broadcast(mine, 0); }));
  }
}

}  // namespace
}  // namespace strake

int main(int count, char** words) {
  const std::vector<std::string> arguments(words + 1, words + count);
  const int ranks = arguments.empty() ? 2 : std::stoi(arguments[0]);
  if (arguments.size() > 1 && arguments[1] == "threads") {
    strake::run_ranks(ranks, {}, strake::measure);
    return 0;
  }
  if (ranks > 1 && !strake::is_launched_rank()) {
    strake::LaunchOptions launch;
    launch.ranks = ranks;
    return strake::launch_ranks(launch, arguments);
  }
  const auto group = strake::make_group({});
  strake::measure(*group);
  return 0;
}
