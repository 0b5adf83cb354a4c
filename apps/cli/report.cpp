#include "report.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace strake::cli {

std::string format_bytes(int64_t bytes) {
  constexpr const char* kUnits[] = {"B", "kB", "MB", "GB", "TB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1000 && unit + 1 < std::size(kUnits)) {
    value /= 1000;
    ++unit;
  }
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.2f} {}", value, kUnits[unit]);
}

std::string format_bytes(const std::vector<int64_t>& bytes) {
  std::string text;
  for (const int64_t count : bytes) text += (text.empty() ? "" : " + ") + format_bytes(count);
  return text;
}

std::string format_threads(const std::vector<Placement>& placements) {
  std::string text;
  for (const auto& [threads, cpus] : placements) {
    text += fmt::format("{}{}", text.empty() ? "" : " + ", threads);
    if (!cpus.empty())
      text += fmt::format(" on CPU{} {}", cpus.size() == 1 ? "" : "s", format_cpus(cpus));
  }
  return text;
}

std::string format_hash(uint64_t hash) { return fmt::format("{:016x}", hash); }

std::string unevenness(const LoadedModule& module) {
  if (!module.partition) return "";
  if (module.partition->is_replicated()) return "replicated where ranks share key-value heads";
  const int64_t units = module.partition->extent() / module.partition->unit();
  for (int rank = 0; rank < module.partition->ranks(); ++rank)
    if (module.partition->size(rank) == 0)
      return fmt::format("{} units of {}: fewer than ranks, rank {} holds none", units,
                         module.partition->unit(), rank);
  if (module.partition->is_even()) return "";
  return fmt::format("{} units of {} do not divide evenly", units, module.partition->unit());
}

void print_json(const Json& json) { fmt::print("{}\n", dump_json(json, 2)); }

void Progress::show(int64_t done, int64_t total, const std::string& what) {
  if (shown_ < 0 && std::chrono::steady_clock::now() < begin_) return;
  const int percent = total > 0 ? static_cast<int>(100 * done / total) : 100;
  const bool terminal = ::isatty(STDERR_FILENO) == 1;
  if (percent / (terminal ? 1 : 10) == shown_ / (terminal ? 1 : 10) && shown_ >= 0 && percent < 100)
    return;
  if (percent == shown_) return;
  shown_ = percent;
  if (!terminal) {
    fmt::print(stderr, "{}: {} %\n", title_, percent);
    return;
  }
  constexpr int kWidth = 40;
  const int filled = kWidth * percent / 100;
  fmt::print(stderr, "\r{} [{:=<{}}{:<{}}] {:3d} % {:.40}\x1b[K{}", title_, "", filled, "",
             kWidth - filled, percent, what, percent == 100 ? "\n" : "");
  std::fflush(stderr);
}

}  // namespace strake::cli
