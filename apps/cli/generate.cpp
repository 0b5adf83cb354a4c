// strake generate: continues a prompt.
#include <fmt/format.h>

#include <cstdio>

#include "base/fail.h"
#include "command.h"
#include "prompt.h"
#include "report.h"
#include "text_options.h"
#include "text_output.h"

namespace strake::cli {
namespace {

struct GenerateOptions {
  RunOptions run;
  std::string prompt;
  std::vector<std::string> chat;
  std::string system;
  std::string ids;
  TextOptions text;
};

std::vector<int32_t> prompt_tokens(const GenerateOptions& options,
                                   const std::optional<Tokenizer>& tokenizer) {
  const int given = !options.prompt.empty() + !options.chat.empty() + !options.ids.empty();
  if (given != 1)
    fail(ErrorKind::kUsage, "one of --prompt, --chat and --ids expected, found {} of them", given);
  if (!options.ids.empty()) return parse_ids(options.ids);
  if (!tokenizer)
    fail(ErrorKind::kUsage, "{} has no tokenizer.json; use --ids", options.run.model.string());
  if (!options.prompt.empty()) return tokenizer->encode(options.prompt, SpecialTokens::kAdd);
  Conversation conversation(options.run.model, *tokenizer);
  if (!options.system.empty()) conversation.add("system", options.system);
  for (size_t i = 0; i < options.chat.size(); ++i)
    conversation.add(i % 2 == 0 ? "user" : "assistant", options.chat[i]);
  return conversation.tokens();
}

double rate(int64_t tokens, double seconds) {
  return seconds > 0 ? static_cast<double>(tokens) / seconds : 0;
}

void report(const GenerateOptions& options, const GenerationResult& result, const Session& session,
            const std::string& text) {
  const double prefill = rate(result.prompt_tokens, result.prefill_seconds);
  const double decode = rate(result.decode_steps, result.decode_seconds);
  if (options.run.json) {
    Json threads = Json::array();
    Json cpus = Json::array();
    for (const Placement& placement : session.placements()) {
      threads.push_back(placement.threads);
      cpus.push_back(format_cpus(placement.cpus));
    }
    print_json({{"tokens", result.tokens},
                {"text", text},
                {"finish_reason", to_string(result.finish)},
                {"prompt_tokens", result.prompt_tokens},
                {"prefill_tokens_per_second", prefill},
                {"decode_tokens_per_second", decode},
                {"path", session.path()},
                {"ranks", session.bytes_per_rank().size()},
                {"bytes_per_rank", session.bytes_per_rank()},
                {"threads_per_rank", threads},
                {"cpus_per_rank", cpus},
                {"logits_hash", format_hash(result.logits_hash)}});
    return;
  }
  fmt::print("\n");
  std::fflush(stdout);
  fmt::print(stderr,
             "prefill  {} tokens, {:.1f} tokens/s\n"
             "decode   {} tokens, {:.1f} tokens/s\n"
             "weights  {} on {} rank{}\n"
             "threads  {}\n"
             "logits   {} (hash of every row that a token was chosen from)\n",
             result.prompt_tokens, prefill, result.tokens.size(), decode,
             format_bytes(session.bytes_per_rank()), session.bytes_per_rank().size(),
             session.bytes_per_rank().size() == 1 ? "" : "s", format_threads(session.placements()),
             format_hash(result.logits_hash));
}

void generate_on_rank(const GenerateOptions& options, Group& group) {
  std::optional<Tokenizer> tokenizer;
  if (std::filesystem::exists(options.run.model / "tokenizer.json"))
    tokenizer = Tokenizer::load(options.run.model);
  const auto prompt = prompt_tokens(options, tokenizer);
  SessionOptions session_options = options.run.session();
  session_options.cache_tokens = std::ssize(prompt) + options.text.generation.max_tokens;
  Session session(group, options.run.division(group.size()), session_options);
  const auto generation = options.text.with_tokens_of(session, tokenizer);
  SequenceCache cache = session.make_cache(session_options.cache_tokens);
  TextOutput output(tokenizer, options.text.stop,
                    options.run.json ? TextOutput::Print::kNo : TextOutput::Print::kYes);
  std::vector<int32_t> history;
  const auto result = generate(session.context(), session.model(), cache, history, prompt,
                               generation, [&](int32_t token) { return output.push(token); });
  if (group.rank() != 0) return;
  const std::string text = output.finish();
  report(options, result, session, text);
}

}  // namespace

void add_generate(CLI::App& app, Action& action) {
  auto* command = app.add_subcommand("generate", "Continue a prompt");
  auto options = std::make_shared<GenerateOptions>();
  add_run_options(*command, options->run);
  add_ranks_option(*command, options->run.ranks);
  command->add_option("--prompt", options->prompt, "Text to continue")->type_name("TEXT");
  command
      ->add_option("--chat", options->chat,
                   "Messages in turn, the user's first, through the model's chat template")
      ->type_name("TEXT");
  command->add_option("--system", options->system, "System message, with --chat")
      ->type_name("TEXT");
  command->add_option("--ids", options->ids, "Token ids to continue, as 1,2,3")
      ->type_name("ID,ID,...");
  command
      ->add_option("--max-tokens", options->text.generation.max_tokens,
                   "Tokens to generate at most")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 30))
      ->capture_default_str();
  add_text_options(*command, options->text);
  command->callback([options, &action] {
    action = [options](const Arguments& arguments) {
      options->text.check();
      if (options->run.model.empty()) options->run.model = default_model();
      return run_on_ranks(options->run, arguments,
                          [&](Group& group) { generate_on_rank(*options, group); });
    };
  });
}

}  // namespace strake::cli
