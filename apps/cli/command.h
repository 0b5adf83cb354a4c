// What the subcommands share: options of a run, and how ranks are started for it.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/session.h"
#include "launch.h"
#include "strake/comm/group.h"

namespace strake::cli {

// This program's arguments, without its name.
using Arguments = std::vector<std::string>;

// What the chosen subcommand does; returns the exit code.
using Action = std::function<int(const Arguments&)>;

// How a model is run: which, on how many ranks, with what.
struct RunOptions {
  std::filesystem::path model;
  int ranks = 0;      // 0: as many as mpirun started, or 1
  std::string share;  // "2,1"; empty: equal
  ExpertDivision experts = ExpertDivision::kSplit;
  int threads = 0;  // a rank; 0: its part of the host's cores
  std::string device = "cpu";
  std::string path;  // empty: the fastest that all ranks have
  std::string placement = "auto";
  std::string activations = "auto";
  std::string kv_cache;         // a mode of 8 bits; empty: as activations
  double deadline_seconds = 0;  // 0: as the device has it
  bool json = false;
  LaunchOptions launch;

  // Throws Error(kUsage) when --share does not have a weight for each rank.
  Division division(int group_size) const;
  SessionOptions session() const;
  GroupOptions group() const;
};

void add_model_option(CLI::App& command, std::filesystem::path& model);
void add_json_option(CLI::App& command, bool& json);
void add_ranks_option(CLI::App& command, int& ranks);
void add_experts_option(CLI::App& command, ExpertDivision& experts);
void add_device_option(CLI::App& command, std::string& device);
void add_run_options(CLI::App& command, RunOptions& options);  // but --ranks

// The model that ships with the program, for commands that were given none: $STRAKE_MODEL, or
// models/tiny-llama-mxfp8 beside or above the program.
std::filesystem::path default_model();

// Runs `body` on every rank. Starts the ranks first, each with the same arguments, where they are
// not running yet; a model or plan that cannot work is reported before any rank is started.
int run_on_ranks(const RunOptions& options, const Arguments& arguments,
                 const std::function<void(Group&)>& body);

// Joins the ranks of this run, and runs `body`; where it throws, the run ends on all of them.
int run_in_group(const RunOptions& options, const std::function<void(Group&)>& body);

// Comma-separated token ids. Throws Error(kUsage).
std::vector<int32_t> parse_ids(const std::string& text);

void add_generate(CLI::App& app, Action& action);
void add_chat(CLI::App& app, Action& action);
void add_score(CLI::App& app, Action& action);
void add_quantize(CLI::App& app, Action& action);
void add_import(CLI::App& app, Action& action);
void add_inspect(CLI::App& app, Action& action);
void add_plan(CLI::App& app, Action& action);
void add_verify(CLI::App& app, Action& action);
void add_bench(CLI::App& app, Action& action);
void add_models(CLI::App& app, Action& action);

}  // namespace strake::cli
