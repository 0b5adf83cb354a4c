// strake inspect: what is in a checkpoint, and who would hold what.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <map>

#include "base/fail.h"
#include "command.h"
#include "engine/plan.h"
#include "io/checkpoint.h"
#include "report.h"

namespace strake::cli {
namespace {

struct InspectOptions {
  std::filesystem::path model;
  int ranks = 0;
  std::string share;
  ExpertDivision experts = ExpertDivision::kSplit;
  bool json = false;
};

// What ranks have parts of.
const char* axis_name(const LoadedModule& module) {
  if (!module.partition) return "whole";
  const int from_end = module.shape.rank() - module.axis;
  if (module.shape.rank() == 1 || from_end == 2) return "rows";
  return from_end == 1 ? "columns" : "matrices";
}

std::string format_name(const LoadedModule& module) {
  return module.format ? module.format->to_string() : std::string(to_string(module.dtype));
}

// What a rank holds: "rows [0, 384)", "whole".
std::string held(const LoadedModule& module, int rank) {
  if (!module.partition) return "whole";
  return fmt::format("{} {}", axis_name(module), module.partition->to_string(rank));
}

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

Json to_json(const PlannedModule& planned) {
  const LoadedModule& module = planned.module;
  Json ranks = Json::array();
  for (size_t rank = 0; rank < planned.bytes.size(); ++rank) {
    Json ranges = Json::array();
    if (module.partition)
      for (const Range range : (*module.partition)[static_cast<int>(rank)])
        ranges.push_back({range.begin, range.end});
    ranks.push_back({{"bytes", planned.bytes[rank]}, {"ranges", ranges}});
  }
  const auto extents = module.shape.extents();
  return {{"module", module.path},
          {"shape", std::vector<int64_t>(extents.begin(), extents.end())},
          {"format", format_name(module)},
          {"divided", axis_name(module)},
          {"unit", module.partition ? module.partition->unit() : 0},
          {"uneven", unevenness(module)},
          {"ranks", ranks}};
}

int inspect(const InspectOptions& options) {
  const Shares shares = !options.share.empty() ? Shares::parse(options.share)
                                               : Shares::equal(std::max(options.ranks, 1));
  if (options.ranks != 0 && options.ranks != shares.ranks())
    fail(ErrorKind::kUsage, "--share: {} weights expected, one for each rank, found {}",
         options.ranks, shares.ranks());
  const Plan plan = make_plan(options.model, {shares, options.experts});
  const Checkpoint checkpoint = Checkpoint::open(options.model, Device::meta());
  const auto totals = plan.bytes_per_rank();
  if (options.json) {
    Json modules = Json::array();
    for (const PlannedModule& planned : plan.modules) modules.push_back(to_json(planned));
    print_json({{"model_type", checkpoint.config().text("model_type")},
                {"ranks", shares.ranks()},
                {"bytes_per_rank", totals},
                {"modules", modules}});
    return 0;
  }
  fmt::print("{} ({}), {} rank{}\n\n", options.model.string(),
             checkpoint.config().text("model_type"), shares.ranks(),
             shares.ranks() == 1 ? "" : "s");
  size_t width = 0;
  for (const PlannedModule& planned : plan.modules)
    width = std::max(width, planned.module.path.size());
  std::map<std::string, std::vector<std::string>> notes;
  for (const PlannedModule& planned : plan.modules) {
    const LoadedModule& module = planned.module;
    fmt::print("{:<{}}  {:<14} {}\n", module.path, width, module.shape.to_string(),
               format_name(module));
    if (shares.ranks() > 1 && module.partition)
      for (int rank = 0; rank < shares.ranks(); ++rank)
        fmt::print("  rank {:<2} {:<24} {}\n", rank, held(module, rank),
                   format_bytes(planned.bytes[static_cast<size_t>(rank)]));
    if (const std::string note = unevenness(module); !note.empty())
      notes[note].push_back(module.path);
  }
  fmt::print("\n");
  for (const auto& [note, paths] : notes)
    fmt::print("{}: {}{}\n", note, paths.front(),
               paths.size() > 1 ? fmt::format(" and {} more", paths.size() - 1) : "");
  for (int rank = 0; rank < shares.ranks(); ++rank)
    fmt::print("rank {:<2} {}\n", rank, format_bytes(totals[static_cast<size_t>(rank)]));
  return 0;
}

}  // namespace

void add_inspect(CLI::App& app, Action& action) {
  auto* command =
      app.add_subcommand("inspect", "Formats and shapes, and the plan: who would hold what");
  auto options = std::make_shared<InspectOptions>();
  command->add_option("model", options->model, "Directory of the checkpoint")
      ->type_name("DIR")
      ->required();
  add_json_option(*command, options->json);
  command->add_option("--ranks", options->ranks, "Ranks, 1 to 16 (default: 1)")->type_name("N");
  command->add_option("--share", options->share, "Weight of each rank, as 2,1")
      ->type_name("W,W,...");
  add_experts_option(*command, options->experts);
  command->callback(
      [options, &action] { action = [options](const Arguments&) { return inspect(*options); }; });
}

}  // namespace strake::cli
