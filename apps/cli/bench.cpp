// strake bench: how fast a model runs, on several rank counts and contexts.
#include "engine/bench.h"

#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <memory>

#include "base/fail.h"
#include "base/files.h"
#include "bench_report.h"
#include "command.h"
#include "engine/devices.h"
#include "engine/plan.h"
#include "io/checkpoint.h"
#include "io/random_weights.h"
#include "models/shapes.h"

namespace strake::cli {
namespace {

// The hidden option that makes a rank print its run alone, for the command that started it.
constexpr const char* kOneRun = "--one-run";

struct BenchCommandOptions {
  RunOptions run;
  std::vector<int> ranks;  // empty: 1, or as many as mpirun started
  std::string shape;
  ShapeCut cut;
  std::string mode;
  std::optional<int> bits;
  std::optional<int> group_size;
  BenchOptions bench;
  std::filesystem::path plot;
  bool one_run = false;
};

std::optional<Format> format_of_shape(const BenchCommandOptions& options) {
  if (options.mode != "bf16")
    return Format::parse(options.mode.empty() ? "mxfp8" : options.mode, options.bits,
                         options.group_size);
  if (options.bits || options.group_size)
    fail(ErrorKind::kUsage, "--bits and --group-size have no meaning with --mode bf16");
  return std::nullopt;
}

OpenModel model_to_open(const BenchCommandOptions& options) {
  if (options.shape.empty()) {
    if (options.cut.layers || options.cut.experts || !options.mode.empty() || options.bits ||
        options.group_size)
      fail(ErrorKind::kUsage,
           "--layers, --routed-experts, --mode, --bits and --group-size have no meaning without "
           "--shape");
    const auto model = options.run.model.empty() ? default_model() : options.run.model;
    return [model](Device device) {
      return std::make_unique<Checkpoint>(Checkpoint::open(model, device));
    };
  }
  if (!options.run.model.empty())
    fail(ErrorKind::kUsage, "one of --model and --shape expected, found both");
  const ModelConfig config = shape_config(options.shape, options.cut, format_of_shape(options));
  return [config](Device device) { return std::make_unique<RandomWeights>(config, device); };
}

BenchSubject subject_of(const BenchCommandOptions& options, const OpenModel& open) {
  const auto source = open(Device::meta());
  const auto format = source->quantization().global();
  std::string name = options.shape;
  if (name.empty()) {
    const auto model = options.run.model.empty() ? default_model() : options.run.model;
    name = (model / "").parent_path().filename().string();
  }
  return {name, source->config().integer("num_hidden_layers"),
          format ? format->to_string() : "dense", options.run.device};
}

// Random weights have no file whose size would warn of what is to come.
void require_memory(const BenchCommandOptions& options, const Plan& plan) {
  int64_t needed = 0;
  for (const int64_t bytes : plan.bytes_per_rank()) needed += bytes;
  const int64_t there = int64_t{::sysconf(_SC_PHYS_PAGES)} * ::sysconf(_SC_PAGESIZE);
  if (needed > there)
    fail(ErrorKind::kUsage,
         "--shape {}: {} of weights, and this machine has {} of memory; --layers and "
         "--routed-experts cut the model",
         options.shape, format_bytes(needed), format_bytes(there));
}

// All that a run would find wrong, before anything is started.
void check(const BenchCommandOptions& options, const OpenModel& open,
           const std::vector<int>& rank_counts) {
  if (!options.plot.empty() && std::filesystem::exists(options.plot))
    fail(ErrorKind::kUsage, "--plot: {} exists already", options.plot.string());
  const bool is_local = options.run.launch.hostfile.empty();
  for (const int ranks : rank_counts) {
    require_machine(options.run.device, options.run.path, is_local ? ranks : 1);
    const Plan plan = make_plan(open, options.run.division(ranks));
    if (!options.shape.empty() && is_local) require_memory(options, plan);
  }
}

// Collects a table, line by line, and what else is asked for.
class Report {
 public:
  Report(const BenchCommandOptions& options, BenchSubject subject)
      : options_(options), subject_(std::move(subject)) {}

  void add(Json run) {
    if (!options_.run.json) {
      if (runs_.empty()) print_head(subject_, run);
      print_rows(run);
    }
    runs_.push_back(std::move(run));
  }
  void finish() const {
    if (options_.run.json) {
      print_json(to_json(subject_, runs_));
    } else {
      print_foot();
    }
    if (!options_.plot.empty()) write_text_file(options_.plot, to_svg(plot_runs(subject_, runs_)));
  }

 private:
  const BenchCommandOptions& options_;
  BenchSubject subject_;
  Json runs_ = Json::array();
};

// This process's part of one run: one of the ranks that mpirun started, or the only one.
int run_on_this_rank(const BenchCommandOptions& options, const OpenModel& open) {
  return run_in_group(options.run, [&](Group& group) {
    const int ranks = group.size();
    if (!options.ranks.empty() && std::ranges::find(options.ranks, ranks) == options.ranks.end())
      fail(ErrorKind::kUsage, "--ranks: {} expected, as mpirun started, found {}", ranks,
           fmt::join(options.ranks, ","));
    Json run = to_json(bench(group, options.run.division(ranks), open(Device::cpu()),
                             options.run.session(), options.bench));
    if (group.rank() != 0) return;
    if (options.one_run) return print_json(run);
    Report report(options, subject_of(options, open));
    report.add(std::move(run));
    report.finish();
  });
}

// Runs on processes of their own. -> the exit code, and the run where that is 0
std::pair<int, Json> launch_run(const BenchCommandOptions& options, int ranks,
                                Arguments arguments) {
  arguments.push_back(kOneRun);
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> output(std::tmpfile(), std::fclose);
  if (output == nullptr) fail_errno("cannot create a temporary file");
  LaunchOptions launch = options.run.launch;
  launch.ranks = ranks;
  launch.output = ::fileno(output.get());
  const int code = launch_ranks(launch, arguments);
  if (code != 0) return {code, {}};
  return {0, parse_json(read_text_file(fmt::format("/proc/self/fd/{}", launch.output)),
                        "the output of the ranks")};
}

int bench_command(const BenchCommandOptions& options, const Arguments& arguments) {
  const OpenModel open = model_to_open(options);
  if (is_launched_rank()) return run_on_this_rank(options, open);
  const std::vector<int> rank_counts = options.ranks.empty() ? std::vector{1} : options.ranks;
  check(options, open, rank_counts);
  if (rank_counts == std::vector{1}) return run_on_this_rank(options, open);
  // Among several, one rank is a process of its own too: launching changes this one's signals.
  Report report(options, subject_of(options, open));
  for (const int ranks : rank_counts) {
    auto [code, run] = launch_run(options, ranks, arguments);
    if (code != 0) return code;
    report.add(std::move(run));
  }
  report.finish();
  return 0;
}

}  // namespace

void add_bench(CLI::App& app, Action& action) {
  auto* command = app.add_subcommand(
      "bench", "Measure prefill and decode, as shares of what the same cores do at best");
  auto options = std::make_shared<BenchCommandOptions>();
  add_run_options(*command, options->run);
  command->add_option("--ranks", options->ranks, "Rank counts, each a run (default: 1)")
      ->type_name("N,N,...")
      ->delimiter(',');
  std::string names;
  for (const ModelShape& shape : known_shapes())
    names += (names.empty() ? "" : ", ") + std::string(shape.name);
  command
      ->add_option("--shape", options->shape,
                   "Random weights in the shape of a known model, in place of --model: " + names)
      ->type_name("NAME");
  command->add_option("--layers", options->cut.layers, "With --shape: so many of its layers")
      ->type_name("N");
  command
      ->add_option("--routed-experts", options->cut.experts,
                   "With --shape: so many of each layer's experts")
      ->type_name("N");
  command
      ->add_option("--mode", options->mode,
                   "With --shape: the mode, as quantize has them, or bf16 (default: mxfp8)")
      ->type_name("MODE");
  command->add_option("--bits", options->bits, "With --shape: as quantize has them")
      ->type_name("B");
  command->add_option("--group-size", options->group_size, "With --shape: as quantize has them")
      ->type_name("G");
  command->add_option("--contexts", options->bench.contexts, "Tokens of the prompt, each measured")
      ->type_name("N,N,...")
      ->delimiter(',')
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 30))
      ->capture_default_str();
  command->add_option("--tokens", options->bench.tokens, "Decode steps after each prompt")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 30))
      ->capture_default_str();
  command->add_option("--repeats", options->bench.repeats, "Measurements of each, for medians")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command->add_option("--plot", options->plot, "Write decode over ranks or contexts, as SVG")
      ->type_name("FILE");
  command->add_flag(kOneRun, options->one_run)->group("");
  command->callback([options, &action] {
    action = [options](const Arguments& arguments) { return bench_command(*options, arguments); };
  });
}

}  // namespace strake::cli
