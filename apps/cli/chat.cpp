// strake chat: a conversation at the terminal.
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <cstdio>

#include "base/fail.h"
#include "command.h"
#include "prompt.h"
#include "report.h"
#include "strake/comm/await.h"
#include "text_options.h"
#include "text_output.h"

namespace strake::cli {
namespace {

struct ChatOptions {
  RunOptions run;
  std::string system;
  int64_t context = 4096;
  TextOptions text;
};

// Lines from standard input, waited for in pieces.
class LineReader {
 public:
  enum class Status { kLine, kNothingYet, kEnd };

  Status read(int timeout_ms, std::string& line) {
    for (;;) {
      if (const size_t end = buffer_.find('\n'); end != std::string::npos) {
        line = buffer_.substr(0, end);
        buffer_.erase(0, end + 1);
        return Status::kLine;
      }
      if (ended_) {
        line = std::exchange(buffer_, {});
        return line.empty() ? Status::kEnd : Status::kLine;
      }
      pollfd input{STDIN_FILENO, POLLIN, 0};
      const int ready = ::poll(&input, 1, timeout_ms);
      if (ready == 0 || (ready < 0 && errno == EINTR)) return Status::kNothingYet;
      if (ready < 0) fail_errno("cannot wait for standard input");
      char bytes[4096];
      const ssize_t got = ::read(STDIN_FILENO, bytes, sizeof bytes);
      if (got < 0 && errno != EINTR) fail_errno("cannot read standard input");
      if (got == 0) ended_ = true;
      if (got > 0) buffer_.append(bytes, static_cast<size_t>(got));
    }
  }

 private:
  std::string buffer_;
  bool ended_ = false;
};

// What rank 0 tells the others to do with the user's line.
struct Turn {
  enum Kind : int32_t { kSkip, kAnswer, kQuit } kind = kSkip;
  int32_t tokens = 0;  // of the prompt that follows
};

SessionOptions session_options(const ChatOptions& options) {
  SessionOptions session = options.run.session();
  session.cache_tokens = options.context;
  return session;
}

// One rank's side of the conversation; only rank 0 reads and writes.
class Chat {
 public:
  Chat(const ChatOptions& options, Group& group)
      : options_(options),
        group_(group),
        session_(group, options.run.division(group.size()), session_options(options)),
        tokenizer_(Tokenizer::load(options.run.model)),
        generation_(options.text.with_tokens_of(session_, tokenizer_)),
        conversation_(options.run.model, tokenizer_),
        cache_(session_.make_cache(options.context)) {
    reset();
  }

  void run() {
    if (group_.rank() == 0 && !options_.run.json)
      fmt::print(stderr, "{} on {} rank{}. /reset forgets, /exit or Ctrl-D ends.\n",
                 options_.run.model.filename().string(), group_.size(),
                 group_.size() == 1 ? "" : "s");
    for (;;) {
      std::vector<int32_t> tokens;
      Turn turn = next_turn(tokens);
      group_.broadcast(std::as_writable_bytes(std::span(&turn, 1)), 0);
      if (turn.kind == Turn::kQuit) return;
      if (turn.kind == Turn::kSkip) continue;
      tokens.resize(static_cast<size_t>(turn.tokens));
      group_.broadcast(std::as_writable_bytes(std::span(tokens)), 0);
      answer(tokens);
    }
  }

 private:
  void reset() {
    conversation_.clear();
    if (!options_.system.empty()) conversation_.add("system", options_.system);
  }

  // Waits for the user's line; what it asks for, on rank 0.
  Turn next_turn(std::vector<int32_t>& tokens) {
    std::string line;
    auto status = LineReader::Status::kNothingYet;
    if (group_.rank() == 0 && is_terminal(STDIN_FILENO)) fmt::print(stderr, "> ");
    await_on_rank_zero(group_, options_.run.group(), [&](std::chrono::milliseconds limit) {
      status = reader_.read(static_cast<int>(limit.count()), line);
      return status != LineReader::Status::kNothingYet;
    });
    if (group_.rank() != 0 || line.empty())
      return {status == LineReader::Status::kEnd ? Turn::kQuit : Turn::kSkip};
    if (line == "/exit") return {Turn::kQuit};
    if (line == "/reset") {
      reset();
      return {};
    }
    conversation_.add("user", line);
    tokens = conversation_.tokens();
    if (static_cast<int64_t>(tokens.size()) < options_.context)
      return {Turn::kAnswer, static_cast<int32_t>(tokens.size())};
    conversation_.remove_last();
    fmt::print(stderr, "That makes {} tokens, the context holds {}: /reset, or --context.\n",
               tokens.size(), options_.context);
    return {};
  }

  void answer(std::span<const int32_t> tokens) {
    GenerationOptions generation = generation_;
    generation.max_tokens =
        std::min(generation.max_tokens, options_.context - static_cast<int64_t>(tokens.size()));
    TextOutput output(tokenizer_, options_.text.stop,
                      options_.run.json ? TextOutput::Print::kNo : TextOutput::Print::kYes);
    const auto result = generate(session_.context(), session_.model(), cache_, history_, tokens,
                                 generation, [&](int32_t token) { return output.push(token); });
    if (group_.rank() != 0) return;
    const std::string text = output.finish();
    conversation_.add("assistant", text);
    // One object a line, so that a program can hold the conversation.
    if (options_.run.json)
      fmt::print("{}\n", dump_json({{"text", text},
                                    {"tokens", result.tokens},
                                    {"finish_reason", to_string(result.finish)},
                                    {"prompt_tokens", result.prompt_tokens}}));
    else
      fmt::print("\n");
    std::fflush(stdout);
  }

  const ChatOptions& options_;
  Group& group_;
  Session session_;
  Tokenizer tokenizer_;
  GenerationOptions generation_;
  Conversation conversation_;
  SequenceCache cache_;
  std::vector<int32_t> history_;  // tokens in the cache
  LineReader reader_;
};

}  // namespace

void add_chat(CLI::App& app, Action& action) {
  auto* command =
      app.add_subcommand("chat", "Talk with a model; standard input holds a message a line");
  auto options = std::make_shared<ChatOptions>();
  options->text.generation.max_tokens = 512;
  add_run_options(*command, options->run);
  add_ranks_option(*command, options->run.ranks);
  command->add_option("--system", options->system, "System message")->type_name("TEXT");
  command->add_option("--context", options->context, "Tokens that the conversation may have")
      ->check(CLI::Range(int64_t{2}, int64_t{1} << 30))
      ->capture_default_str();
  command
      ->add_option("--max-tokens", options->text.generation.max_tokens,
                   "Tokens of an answer at most")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 30))
      ->capture_default_str();
  add_text_options(*command, options->text);
  command->callback([options, &action] {
    action = [options](const Arguments& arguments) {
      options->text.check();
      if (options->run.model.empty()) options->run.model = default_model();
      return run_on_ranks(options->run, arguments,
                          [&](Group& group) { Chat(*options, group).run(); });
    };
  });
}

}  // namespace strake::cli
