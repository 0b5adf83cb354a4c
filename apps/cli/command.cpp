#include "command.h"

#include <charconv>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <map>
#include <memory>
#include <utility>

#include "base/fail.h"
#include "comm/communicators.h"
#include "engine/devices.h"
#include "engine/plan.h"
#include "report.h"

namespace strake::cli {
namespace fs = std::filesystem;
namespace {

// Heads are whole groups of so many elements, but for the smallest.
constexpr int kCacheGroup = 32;

// Seconds. A GPU's steps are short enough for a failure to be found, and the run to end, within 10.
constexpr double kDeadline = 30, kGpuDeadline = 7;

std::vector<std::string> cache_modes() {
  std::vector<std::string> modes;
  for (const Format format : Format::all())
    if (format.bits() == 8 && format.group_size() == kCacheGroup)
      modes.emplace_back(format.mode_name());
  return modes;
}

}  // namespace

Division RunOptions::division(int group_size) const {
  Division division{Shares::equal(group_size), experts};
  division.parts = most_parts(device);
  if (share.empty()) return division;
  Shares weighted = Shares::parse(share);
  if (weighted.ranks() != group_size)
    fail(ErrorKind::kUsage, "--share: {} weights expected, one for each rank, found {}", group_size,
         weighted.ranks());
  division.shares = std::move(weighted);
  return division;
}

SessionOptions RunOptions::session() const {
  SessionOptions session{model, device, threads, path};
  if (placement == "auto") session.placement = PlacementPolicy::kAuto;
  if (activations == "float32") session.activations = DType::kF32;
  if (activations == "bfloat16") session.activations = DType::kBF16;
  if (!kv_cache.empty()) session.kv_cache = Format::parse(kv_cache, 8, kCacheGroup);
  // Most models are there before anyone asks.
  const auto shown = std::make_shared<Progress>("load", std::chrono::seconds(2));
  session.progress = [shown](int64_t done, int64_t total) { shown->show(done, total, ""); };
  session.tensor_group = [device = device](Group& control) {
    return make_tensor_group(device, control);
  };
  return session;
}

GroupOptions RunOptions::group() const {
  const double usual = device == "cpu" ? kDeadline : kGpuDeadline;
  const double seconds = deadline_seconds > 0 ? deadline_seconds : usual;
  return {.deadline = std::chrono::milliseconds(static_cast<int64_t>(seconds * 1000))};
}

void add_model_option(CLI::App& command, fs::path& model) {
  command.add_option("--model", model, "Directory of the checkpoint")->type_name("DIR");
}

void add_json_option(CLI::App& command, bool& json) {
  command.add_flag("--json", json, "Print one JSON object instead of text");
}

void add_ranks_option(CLI::App& command, int& ranks) {
  command
      .add_option("--ranks", ranks,
                  "Ranks that run the model together, 1 to 16 (default: 1, or mpirun's number)")
      ->type_name("N");
}

void add_experts_option(CLI::App& command, ExpertDivision& experts) {
  static const std::map<std::string, ExpertDivision> kDivisions = {
      {"split", ExpertDivision::kSplit}, {"spread", ExpertDivision::kSpread}};
  command
      .add_option_function<std::string>(
          "--experts", [&experts](const std::string& name) { experts = kDivisions.at(name); },
          "How ranks divide experts: split (each has a part of every expert) or spread (each has "
          "some of them whole)")
      ->check(CLI::IsMember({"split", "spread"}))
      ->default_str("split");
}

void add_device_option(CLI::App& command, std::string& device) {
  command.add_option("--device", device, "Where to compute: cpu, or cuda (a GPU for each rank)")
      ->capture_default_str();
}

void add_run_options(CLI::App& command, RunOptions& options) {
  add_model_option(command, options.model);
  add_json_option(command, options.json);
  command.add_option("--share", options.share, "Weight of each rank, as 2,1 (default: equal)")
      ->type_name("W,W,...");
  add_experts_option(command, options.experts);
  command.add_option("--threads", options.threads, "Threads of each rank (0: divide the cores)")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  command
      .add_option("--placement", options.placement,
                  "Where threads run: auto (each rank on cores of its own) or none")
      ->check(CLI::IsMember({"auto", "none"}))
      ->capture_default_str();
  add_device_option(command, options.device);
  command
      .add_option("--path", options.path,
                  "Instruction path: amx-bf16, avx512-bf16, avx2 or portable (default: the fastest "
                  "that all ranks have)")
      ->type_name("NAME");
  command
      .add_option("--activations", options.activations,
                  "Rounding of activations: bfloat16, float32 or auto (float32 for unquantized "
                  "checkpoints)")
      ->check(CLI::IsMember({"auto", "bfloat16", "float32"}))
      ->capture_default_str();
  command
      .add_option("--kv-cache", options.kv_cache,
                  "Keep keys and values in 8 bits, in this mode (default: as activations)")
      ->type_name("MODE")
      ->check(CLI::IsMember(cache_modes()));
  command
      .add_option("--deadline", options.deadline_seconds,
                  "Seconds after which a silent rank ends the run (default: 30, on GPUs 7)")
      ->check(CLI::Range(0.1, 86400.0));
  command.add_option("--hostfile", options.launch.hostfile, "Hosts and slots, for mpirun")
      ->type_name("FILE");
  command
      .add_option("--launch-agent", options.launch.launch_agent,
                  "Program that starts commands on other hosts (default: ssh)")
      ->type_name("PROGRAM");
  command.add_option("--mpirun-arg", options.launch.mpirun_args, "One more argument for mpirun")
      ->type_name("ARG")
      ->allow_extra_args(false);
}

fs::path default_model() {
  if (const char* named = std::getenv("STRAKE_MODEL"); named != nullptr && *named != '\0')
    return named;
  constexpr const char* kShipped = "models/tiny-llama-mxfp8";
  std::error_code error;
  for (fs::path at = fs::read_symlink("/proc/self/exe", error).parent_path(); !at.empty();
       at = at.parent_path()) {
    for (const fs::path& base : {at, at / "share" / "strake"})
      if (fs::exists(base / kShipped)) return base / kShipped;
    if (at == at.root_path()) break;
  }
  fail(ErrorKind::kUsage, "--model: missing, and no model ships beside this program");
}

int run_on_ranks(const RunOptions& options, const Arguments& arguments,
                 const std::function<void(Group&)>& body) {
  if (!is_launched_rank()) {
    const int ranks = options.ranks == 0 ? 1 : options.ranks;
    require_machine(options.device, options.path, options.launch.hostfile.empty() ? ranks : 1);
    make_plan(options.model, options.division(ranks));
    if (ranks > 1) {
      LaunchOptions launch = options.launch;
      launch.ranks = ranks;
      return launch_ranks(launch, arguments);
    }
  }
  return run_in_group(options, [&](Group& group) {
    if (options.ranks != 0 && group.size() != options.ranks)
      fail(ErrorKind::kUsage, "--ranks: {} expected, as mpirun started, found {}", group.size(),
           options.ranks);
    body(group);
  });
}

int run_in_group(const RunOptions& options, const std::function<void(Group&)>& body) {
  const auto group = make_group(options.group());
  try {
    body(*group);
    return 0;
  } catch (const Error& error) {
    if (group->size() == 1) throw;
    group->abort(error.what(), exit_code(error.kind()));
    return exit_code(error.kind());
  } catch (const std::exception& error) {
    if (group->size() == 1) throw;
    group->abort(error.what(), exit_code(ErrorKind::kInternal));
    return exit_code(ErrorKind::kInternal);
  }
}

std::vector<int32_t> parse_ids(const std::string& text) {
  std::vector<int32_t> ids;
  const char* at = text.data();
  const char* const end = at + text.size();
  for (;;) {
    int32_t id = 0;
    const auto [next, error] = std::from_chars(at, end, id);
    if (error != std::errc() || id < 0 || (next != end && *next != ','))
      fail(ErrorKind::kUsage, "--ids: token ids like 1,2,3 expected, found '{}'", text);
    ids.push_back(id);
    if (next == end) return ids;
    at = next + 1;
  }
}

}  // namespace strake::cli
