// What commands print beside their result.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"
#include "engine/placement.h"
#include "nn/layer_loader.h"

namespace strake::cli {

// "3.52 MB", decimal.
std::string format_bytes(int64_t bytes);
std::string format_bytes(const std::vector<int64_t>& bytes);  // "1.78 MB + 1.76 MB"
// "8 on CPUs 0-7 + 8 on CPUs 8-15"; "2 + 2" where they run anywhere.
std::string format_threads(const std::vector<Placement>& placements);
std::string format_hash(uint64_t hash);  // 16 hexadecimal digits

// What of a module does not divide evenly, or nothing.
std::string unevenness(const LoadedModule& module);

void print_json(const Json& json);

// A bar on stderr: redrawn in place on a terminal, a line a tenth elsewhere. What takes no longer
// than `patience` shows none.
class Progress {
 public:
  explicit Progress(std::string title, std::chrono::seconds patience = std::chrono::seconds(0))
      : title_(std::move(title)), begin_(std::chrono::steady_clock::now() + patience) {}
  void show(int64_t done, int64_t total, const std::string& what);

 private:
  std::string title_;
  std::chrono::steady_clock::time_point begin_;
  int shown_ = -1;  // percent
};

}  // namespace strake::cli
