// What bench_kernels is asked for.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "measurements.h"

namespace strake {

struct MatrixSize {
  int64_t outputs, inputs;
};

struct KernelOptions {
  std::string device = "cpu";
  std::vector<std::string> modes;
  std::vector<MatrixSize> shapes;
  std::vector<int64_t> rows;
  std::vector<int64_t> expert_rows;
  Measurements::Output output = Measurements::Output::kTable;
  // Of the CPU.
  int threads = 1;
  std::string path;
  double seconds = 1;
  // Of a GPU.
  enum class Choice { kOwn, kAll };  // of what a kernel can be told: its own, or all in turn
  std::vector<std::string> only;     // sections; all if empty
  std::vector<std::string> expert_modes;
  std::vector<int64_t> contexts;
  Choice tilings = Choice::kOwn;

  bool has(const char* section) const;
};

void bench_cpu(const KernelOptions& options);
// Throws Error(kUnsupported) where it is not built in.
void bench_cuda(const KernelOptions& options);

}  // namespace strake
