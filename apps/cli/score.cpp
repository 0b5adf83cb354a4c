// strake score: how likely a model finds a text.
#include <fmt/format.h>

#include <cmath>
#include <cstdio>

#include "base/fail.h"
#include "base/files.h"
#include "command.h"
#include "engine/generation.h"
#include "io/safetensors_writer.h"
#include "report.h"
#include "text/tokenizer.h"

namespace strake::cli {
namespace {

struct ScoreOptions {
  RunOptions run;
  std::string ids;
  std::filesystem::path ids_file;
  std::filesystem::path text;
  std::filesystem::path logits;
};

std::vector<int32_t> tokens_to_score(const ScoreOptions& options) {
  const int given = !options.ids.empty() + !options.ids_file.empty() + !options.text.empty();
  if (given != 1)
    fail(ErrorKind::kUsage, "one of --ids, --ids-file and --text expected, found {} of them",
         given);
  if (!options.ids.empty()) return parse_ids(options.ids);
  if (!options.text.empty())
    return Tokenizer::load(options.run.model)
        .encode(read_text_file(options.text), SpecialTokens::kAdd);
  const std::string name = options.ids_file.string();
  const Json json = parse_json(read_text_file(options.ids_file), name);
  if (!json.is_array()) fail(ErrorKind::kUsage, "{}: a list of token ids expected", name);
  std::vector<int32_t> ids;
  for (const Json& id : json) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() > INT32_MAX)
      fail(ErrorKind::kUsage, "{}: a token id expected, found {}", name, dump_json(id));
    ids.push_back(id.get<int32_t>());
  }
  return ids;
}

void write_logits(const std::filesystem::path& path, const Tensor& logits) {
  SafetensorsWriter writer(path, {{"logits", logits.dtype(), logits.shape()}}, {});
  writer.write("logits", logits);
  writer.finish();
}

void score_on_rank(const ScoreOptions& options, Group& group) {
  const auto tokens = tokens_to_score(options);
  SessionOptions session_options = options.run.session();
  session_options.cache_tokens = std::ssize(tokens);
  Session session(group, options.run.division(group.size()), session_options);
  std::optional<Tensor> logits;
  SequenceCache cache = session.make_cache(session_options.cache_tokens);
  const Score result = score(session.context(), session.model(), cache, tokens,
                             options.logits.empty() ? nullptr : &logits);
  if (group.rank() != 0) return;
  if (logits) write_logits(options.logits, *logits);
  if (options.run.json) {
    print_json({{"tokens", tokens.size()},
                {"nll", result.mean()},
                {"perplexity", std::exp(result.mean())},
                {"ranks", group.size()},
                {"bytes_per_rank", session.bytes_per_rank()},
                {"logits_hash", format_hash(result.logits_hash)}});
    return;
  }
  fmt::print("tokens      {}\nnll         {:.6f}\nperplexity  {:.4f}\nlogits      {}\n",
             tokens.size(), result.mean(), std::exp(result.mean()),
             format_hash(result.logits_hash));
}

}  // namespace

void add_score(CLI::App& app, Action& action) {
  auto* command = app.add_subcommand("score", "Negative log-likelihood of a text or token ids");
  auto options = std::make_shared<ScoreOptions>();
  add_run_options(*command, options->run);
  add_ranks_option(*command, options->run.ranks);
  command->add_option("--ids", options->ids, "Token ids, as 1,2,3")->type_name("ID,ID,...");
  command->add_option("--ids-file", options->ids_file, "A JSON list of token ids")
      ->type_name("FILE");
  command->add_option("--text", options->text, "A text file")->type_name("FILE");
  command
      ->add_option("--logits", options->logits,
                   "Write the float32 tensor logits [tokens, vocabulary] to this file")
      ->type_name("FILE");
  command->callback([options, &action] {
    action = [options](const Arguments& arguments) {
      if (options->run.model.empty()) options->run.model = default_model();
      return run_on_ranks(options->run, arguments,
                          [&](Group& group) { score_on_rank(*options, group); });
    };
  });
}

}  // namespace strake::cli
