// strake plan: what a model needs of each rank, from its config alone.
#include <fmt/format.h>

#include <map>

#include "base/fail.h"
#include "base/files.h"
#include "command.h"
#include "engine/capacity.h"
#include "io/random_weights.h"
#include "models/shapes.h"
#include "report.h"

namespace strake::cli {
namespace {

struct PlanOptions {
  std::filesystem::path config;
  std::string shape;
  std::vector<int> ranks;
  std::string share;
  std::string mode;
  std::optional<int> bits;
  std::optional<int> group_size;
  int64_t context = 8192;
  int64_t batch = 1;
  std::optional<double> bandwidth;  // GB/s of a rank
  bool json = false;
};

// The format asked for; nothing where dense weights are.
std::optional<Format> format_of(const PlanOptions& options) {
  if (options.mode != "bf16") return Format::parse(options.mode, options.bits, options.group_size);
  if (options.bits || options.group_size)
    fail(ErrorKind::kUsage, "--bits and --group-size have no meaning with --mode bf16");
  return std::nullopt;
}

ModelConfig read_config(const PlanOptions& options) {
  if (options.mode.empty() && (options.bits || options.group_size))
    fail(ErrorKind::kUsage, "--bits and --group-size have no meaning without --mode");
  if (options.config.empty() == options.shape.empty())
    fail(ErrorKind::kUsage, "one of --config and --shape expected, found {}",
         options.config.empty() ? "neither" : "both");
  if (!options.shape.empty())
    return shape_config(options.shape, {},
                        options.mode.empty() ? std::nullopt : format_of(options));
  const auto file = std::filesystem::is_directory(options.config) ? options.config / "config.json"
                                                                  : options.config;
  const auto config = ModelConfig::parse(read_text_file(file), file.string());
  if (options.mode.empty()) return config;
  Json json = config.json();
  json.erase("quantization");
  json.erase("quantization_config");
  if (const auto format = format_of(options)) json["quantization"] = format_json(*format);
  return ModelConfig::parse(dump_json(json), file.string());
}

// A rank count's capacity, or why there is none.
struct Row {
  int ranks;
  std::optional<Capacity> capacity;
  std::string error;
};

Row find_row(const OpenModel& open, const Shares& shares, const Load& load) {
  try {
    return {shares.ranks(), find_capacity(open, shares, load), ""};
  } catch (const Error& error) {
    // What this rank count cannot do, others can.
    if (error.kind() != ErrorKind::kUsage) throw;
    return {shares.ranks(), std::nullopt, error.what()};
  }
}

std::vector<Shares> shares_of(const PlanOptions& options) {
  if (!options.share.empty()) {
    Shares shares = Shares::parse(options.share);
    if (!options.ranks.empty() && options.ranks != std::vector{shares.ranks()})
      fail(ErrorKind::kUsage, "--share: a weight for each of --ranks expected, found {}",
           shares.ranks());
    return {shares};
  }
  std::vector<Shares> all;
  if (options.ranks.empty())
    for (int ranks = 1; ranks <= kMaxRanks; ++ranks) all.push_back(Shares::equal(ranks));
  for (const int ranks : options.ranks) all.push_back(Shares::equal(ranks));
  return all;
}

template <class Field>
std::vector<int64_t> by_rank(const Capacity& capacity, Field RankCapacity::*field) {
  std::vector<int64_t> values;
  for (const RankCapacity& rank : capacity.ranks)
    values.push_back(static_cast<int64_t>(rank.*field));
  return values;
}

// Each note once, with the modules that it is true of.
std::map<std::string, std::vector<std::string>> uneven_modules(const Capacity& capacity) {
  std::map<std::string, std::vector<std::string>> notes;
  for (const PlannedModule& planned : capacity.plan.modules)
    if (const std::string note = unevenness(planned.module); !note.empty())
      notes[note].push_back(planned.module.path);
  return notes;
}

Json to_json(const Row& row, const PlanOptions& options) {
  if (!row.capacity) return {{"ranks", row.ranks}, {"error", row.error}};
  const Capacity& capacity = *row.capacity;
  Json uneven = Json::array();
  for (const auto& [note, modules] : uneven_modules(capacity))
    uneven.push_back({{"note", note}, {"modules", modules}});
  Json json{{"ranks", row.ranks},
            {"weight_bytes", by_rank(capacity, &RankCapacity::weights)},
            {"cache_bytes", by_rank(capacity, &RankCapacity::cache)},
            {"cache_bytes_per_token", by_rank(capacity, &RankCapacity::cache_per_token)},
            {"read_bytes_per_step", by_rank(capacity, &RankCapacity::read)},
            {"sent_bytes_per_step", by_rank(capacity, &RankCapacity::sent)},
            {"uneven", uneven}};
  if (options.bandwidth)
    json["tokens_per_second"] = capacity.decode_rate(*options.bandwidth * 1e9, options.batch);
  return json;
}

void print_table(const std::vector<Row>& rows, const PlanOptions& options) {
  fmt::print("{:>5}  {:>12}  {:>12}  {:>12}  {:>12}  {:>12}{}\n", "ranks", "weights", "cache",
             "cache/token", "read/step", "sent/step",
             options.bandwidth ? fmt::format("  {:>9}", "decode/s") : "");
  const auto most = [](const Capacity& capacity, auto field) {
    return format_bytes(std::ranges::max(by_rank(capacity, field)));
  };
  for (const Row& row : rows) {
    if (!row.capacity) {
      fmt::print("{:5}  {}\n", row.ranks, row.error);
      continue;
    }
    const Capacity& capacity = *row.capacity;
    fmt::print("{:5}  {:>12}  {:>12}  {:>12}  {:>12}  {:>12}{}\n", row.ranks,
               most(capacity, &RankCapacity::weights), most(capacity, &RankCapacity::cache),
               most(capacity, &RankCapacity::cache_per_token), most(capacity, &RankCapacity::read),
               most(capacity, &RankCapacity::sent),
               options.bandwidth
                   ? fmt::format("  {:9.1f}",
                                 capacity.decode_rate(*options.bandwidth * 1e9, options.batch))
                   : "");
  }
  fmt::print("\nbytes of the rank that has most; a step decodes a token of each sequence\n");
  for (const Row& row : rows)
    if (row.capacity)
      for (const auto& [note, modules] : uneven_modules(*row.capacity))
        fmt::print("{} ranks: {}: {}{}\n", row.ranks, note, modules.front(),
                   modules.size() > 1 ? fmt::format(" and {} more", modules.size() - 1) : "");
}

int plan(const PlanOptions& options) {
  const ModelConfig config = read_config(options);
  const OpenModel open = [&](Device device) {
    return std::make_unique<RandomWeights>(config, device);
  };
  const Load load{options.context, options.batch};
  std::vector<Row> rows;
  for (const Shares& shares : shares_of(options)) rows.push_back(find_row(open, shares, load));
  const auto format = QuantizationConfig::parse(config).global();
  const std::string model_type = config.text("model_type");
  const std::string format_name = format ? format->to_string() : "dense";
  if (options.json) {
    Json counts = Json::array();
    for (const Row& row : rows) counts.push_back(to_json(row, options));
    print_json({{"model_type", model_type},
                {"format", format_name},
                {"context", options.context},
                {"batch", options.batch},
                {"counts", counts}});
  } else {
    fmt::print("{}, {}; {} sequence{} of {} tokens\n\n", model_type, format_name, options.batch,
               options.batch == 1 ? "" : "s", options.context);
    print_table(rows, options);
  }
  if (std::ranges::none_of(rows, [](const Row& row) { return row.capacity.has_value(); }))
    fail(ErrorKind::kUsage, "--ranks: no count that works; {}", rows.front().error);
  return 0;
}

}  // namespace

void add_plan(CLI::App& app, Action& action) {
  auto* command = app.add_subcommand(
      "plan", "From a config alone: bytes and the decode rate that memory allows, by rank count");
  auto options = std::make_shared<PlanOptions>();
  command->add_option("--config", options->config, "config.json, or a directory that has one")
      ->type_name("FILE|DIR");
  command->add_option("--shape", options->shape, "In place of --config: a model that bench knows")
      ->type_name("NAME");
  add_json_option(*command, options->json);
  command->add_option("--ranks", options->ranks, "Rank counts (default: 1 to 16)")
      ->type_name("N,N,...")
      ->delimiter(',');
  command->add_option("--share", options->share, "Weight of each rank, as 2,1")
      ->type_name("W,W,...");
  command
      ->add_option(
          "--mode", options->mode,
          "As if quantized so, as quantize has them, or bf16 (default: as the config says)")
      ->type_name("MODE");
  command->add_option("--bits", options->bits, "As quantize has them")->type_name("B");
  command->add_option("--group-size", options->group_size, "As quantize has them")->type_name("G");
  command->add_option("--context", options->context, "Tokens that each sequence has room for")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 24))
      ->capture_default_str();
  command->add_option("--batch", options->batch, "Sequences that run at once")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20))
      ->capture_default_str();
  command
      ->add_option("--bandwidth", options->bandwidth,
                   "Of each rank's memory in GB/s: shows the decode rate that it allows")
      ->check(CLI::Range(1e-3, 1e9));
  command->callback(
      [options, &action] { action = [options](const Arguments&) { return plan(*options); }; });
}

}  // namespace strake::cli
