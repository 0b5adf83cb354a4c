// What the benchmarks of products share: samples taken beside probes, and how figures are shown.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "engine/probes.h"

namespace strake {

// One product, and what a call of it moves and computes.
struct Product {
  std::string format;
  std::string kind = "matmul";  // or "experts"
  int64_t outputs = 0, inputs = 0, rows = 0;
  double bytes = 0, operations = 0;
};

// Each sample of a product stands beside samples of the probes, and those taken while something
// else shared the cores are dropped. Figures are medians.
class Measurements {
 public:
  // kJson: one object a line, the first of them with what the probes alone found.
  enum class Output { kTable, kJson };
  struct Settings {
    std::string engine;  // as the header calls it
    std::string path;    // whose instructions the rate of products is probed with
    int threads = 1;
    double seconds = 1;  // of each measurement, and five samples at least
    Output output = Output::kTable;
  };
  explicit Measurements(Settings settings);

  // Measures `call` and prints its line.
  void measure(const Product& product, const std::function<void()>& call);

 private:
  struct Sample;
  Sample take(const std::function<void()>& call);

  Settings settings_;
  Probes probes_;
};

}  // namespace strake
