// strake verify: whether rank counts agree bit for bit.
#include "engine/verify.h"

#include <fmt/format.h>

#include <charconv>

#include "base/fail.h"
#include "command.h"
#include "engine/devices.h"
#include "engine/generation.h"
#include "io/checkpoint.h"
#include "report.h"

namespace strake::cli {
namespace {

struct VerifyCommandOptions {
  RunOptions run;
  std::vector<int> ranks{1, 2, 3, 4, 8};
  std::string ids;
  VerifyOptions verify;
};

int verify_command(const VerifyCommandOptions& options) {
  for (const int ranks : options.ranks) {
    Shares::equal(ranks);
    require_machine(options.run.device, {}, ranks);
  }
  const int64_t vocabulary =
      Checkpoint::open(options.run.model, Device::meta()).config().integer("vocab_size");
  const auto ids = options.ids.empty() ? spread_ids(24, vocabulary) : parse_ids(options.ids);
  VerifyOptions verify_options = options.verify;
  verify_options.group = options.run.group();
  verify_options.experts = options.run.experts;
  const auto results = verify(options.run.session(), options.ranks, ids, verify_options);
  bool equal = true;
  Json json = Json::array();
  for (const Verification& result : results) {
    equal = equal && result.equal;
    json.push_back({{"ranks", result.ranks},
                    {"equal", result.equal},
                    {"first_difference", result.first_difference},
                    {"logits_hash", format_hash(result.trace.back().hash)}});
    if (options.run.json) continue;
    fmt::print("{:>2} rank{} {}  {}\n", result.ranks, result.ranks == 1 ? " " : "s",
               format_hash(result.trace.back().hash),
               result.equal ? fmt::format("{} values, all bits equal", result.trace.size())
                            : "differs first at " + result.first_difference);
  }
  if (options.run.json)
    print_json({{"equal", equal}, {"values", results.front().trace.size()}, {"runs", json}});
  return equal ? 0 : exit_code(ErrorKind::kInternal);
}

}  // namespace

void add_verify(CLI::App& app, Action& action) {
  auto* command = app.add_subcommand(
      "verify", "Run each rank count (as threads of this process) and compare every bit");
  auto options = std::make_shared<VerifyCommandOptions>();
  options->run.placement = "none";
  add_model_option(*command, options->run.model);
  add_json_option(*command, options->run.json);
  command->add_option("--ranks", options->ranks, "Rank counts to compare with the first")
      ->delimiter(',')
      ->capture_default_str();
  add_experts_option(*command, options->run.experts);
  add_device_option(*command, options->run.device);
  command->add_option("--ids", options->ids, "Prompt as token ids")->type_name("ID,ID,...");
  command
      ->add_option("--max-tokens", options->verify.decode_tokens,
                   "Tokens to decode after the prompt")
      ->check(CLI::Range(0, 1 << 20))
      ->capture_default_str();
  command
      ->add_option("--threads", options->run.threads, "Threads of each rank (0: divide the cores)")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  command->callback([options, &action] {
    action = [options](const Arguments&) {
      if (options->run.model.empty()) options->run.model = default_model();
      return verify_command(*options);
    };
  });
}

}  // namespace strake::cli
