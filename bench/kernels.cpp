// Kernels by format, shape and rows, as shares of what the same machine does at best in the same
// run: bench_kernels --help
//
// Weights are read from memory: every call takes the next of copies that fill 512 MB together.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <sstream>
#include <string>
#include <vector>

#include "kernel_options.h"
#include "strake/base/error.h"

namespace strake {
namespace {

MatrixSize parse_size(const std::string& words) {
  MatrixSize size{};
  char comma = 0;
  if (!(std::istringstream(words) >> size.outputs >> comma >> size.inputs) || comma != ',' ||
      size.outputs <= 0 || size.inputs <= 0)
    throw Error(ErrorKind::kUsage, "--shape: N,K expected, found '" + words + "'");
  return size;
}

// What is asked for where nothing else is.
struct Defaults {
  std::vector<std::string> modes;
  std::vector<MatrixSize> shapes;
  std::vector<int64_t> rows, expert_rows;
  std::vector<std::string> expert_modes;
};

Defaults defaults_of(const std::string& device) {
  if (device == "cpu") {
    const std::vector<std::string> modes{"affine:4", "mxfp4", "nvfp4", "affine:8", "mxfp8"};
    return {modes, {{4096, 4096}, {11008, 4096}, {4096, 11008}}, {1, 8, 128, 512}, {1, 64}, modes};
  }
  return {{"mxfp8", "mxfp4", "nvfp4", "affine:8", "affine:6", "affine:5", "affine:4", "affine:3",
           "affine:2"},
          {{28672, 8192}, {8192, 28672}, {14336, 4096}, {4096, 14336}, {8192, 8192}, {4096, 4096}},
          {1, 8, 16, 128, 512, 2048},
          {1, 8},
          {"mxfp8", "mxfp4"}};
}

int run(int count, char** words) {
  KernelOptions options;
  std::vector<std::string> shapes;
  bool tilings = false, json = false;
  CLI::App app(
      "Kernels by format, shape and rows. On a GPU: few rows, many rows, experts, attention");
  app.add_option("--device", options.device)
      ->check(CLI::IsMember({"cpu", "cuda"}))
      ->capture_default_str();
  app.add_option("--only", options.only, "few-rows, many-rows, experts, attention (cuda)")
      ->delimiter(',')
      ->check(CLI::IsMember({"few-rows", "many-rows", "experts", "attention"}));
  auto* const modes =
      app.add_option("--modes,--mode", options.modes, "MODE[:BITS[:GROUP]],..., bf16 or all")
          ->delimiter(',');
  auto* const shape =
      app.add_option("--shape", shapes, "N,K; may be repeated")->allow_extra_args(false);
  auto* const rows = app.add_option("--m,--rows", options.rows, "Rows; 0 for none")->delimiter(',');
  auto* const expert_rows =
      app.add_option("--experts-m", options.expert_rows, "Rows through experts; 0 for none")
          ->delimiter(',');
  options.contexts = {8192, 32768};
  app.add_option("--contexts", options.contexts, "Positions that attention sees (cuda)")
      ->delimiter(',')
      ->capture_default_str();
  app.add_flag("--tilings", tilings,
               "Every tiling of the products' kernels, to choose from (cuda)");
  app.add_option("--threads", options.threads)->capture_default_str();
  app.add_option(
      "--path", options.path,
      "Instruction path: amx-bf16, avx512-bf16, avx2 or portable (default: the fastest)");
  app.add_option("--seconds", options.seconds, "Of each measurement (cpu)")->capture_default_str();
  app.add_flag("--json", json, "One object a line: probes, then kernels");
  CLI11_PARSE(app, count, words);
  try {
    const Defaults defaults = defaults_of(options.device);
    options.expert_modes = modes->count() > 0 ? options.modes : defaults.expert_modes;
    if (modes->count() == 0) options.modes = defaults.modes;
    if (shape->count() == 0) options.shapes = defaults.shapes;
    if (rows->count() == 0) options.rows = defaults.rows;
    if (expert_rows->count() == 0) options.expert_rows = defaults.expert_rows;
    std::ranges::transform(shapes, std::back_inserter(options.shapes), parse_size);
    std::erase(options.rows, 0);
    std::erase(options.expert_rows, 0);
    if (json) options.output = Measurements::Output::kJson;
    if (tilings) options.tilings = KernelOptions::Choice::kAll;
    if (options.device == "cpu")
      bench_cpu(options);
    else
      bench_cuda(options);
  } catch (const std::exception& error) {
    fmt::print(stderr, "bench_kernels: {}\n", error.what());
    return 1;
  }
  return 0;
}

}  // namespace

bool KernelOptions::has(const char* section) const {
  return only.empty() || std::ranges::find(only, section) != only.end();
}

}  // namespace strake

int main(int count, char** words) { return strake::run(count, words); }
