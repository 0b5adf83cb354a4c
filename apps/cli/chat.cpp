// strake chat: a conversation at the terminal.
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <cstdio>

#include "base/fail.h"
#include "command.h"
#include "engine/generation.h"
#include "prompt.h"
#include "report.h"
#include "sampling_options.h"

namespace strake::cli {
namespace {

struct ChatOptions {
  RunOptions run;
  std::string system;
  int64_t context = 4096;
  GenerationOptions generation;
};

// What rank 0 tells the others to do next.
struct Turn {
  enum Kind : int32_t { kWait, kAnswer, kQuit } kind;
  int32_t tokens;  // of the prompt that follows
};

// Lines from standard input, waited for in short pieces so that the other ranks hear from us.
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

void exchange(Group& group, Turn& turn, std::vector<int32_t>& tokens) {
  turn.tokens = static_cast<int32_t>(tokens.size());
  group.broadcast(std::as_writable_bytes(std::span(&turn, 1)), 0);
  tokens.resize(static_cast<size_t>(turn.tokens));
  group.broadcast(std::as_writable_bytes(std::span(tokens)), 0);
}

// One rank's side of the conversation; only rank 0 reads and writes.
class Chat {
 public:
  Chat(const ChatOptions& options, Group& group)
      : options_(options),
        group_(group),
        session_(group, options.run.shares(group.size()), options.run.session(group.size())),
        tokenizer_(Tokenizer::load(options.run.model)),
        conversation_(options.run.model, tokenizer_),
        cache_(session_.make_cache(options.context)) {
    reset();
  }

  void run() {
    if (group_.rank() != 0) return follow();
    if (!options_.run.json)
      fmt::print(stderr, "{} on {} rank(s). /reset forgets, /exit or Ctrl-D ends.\n",
                 options_.run.model.filename().string(), group_.size());
    std::string line;
    while (read_line(line)) {
      if (line == "/exit") break;
      if (line == "/reset") reset();
      if (line.empty() || line == "/reset") continue;
      answer(line);
    }
    std::vector<int32_t> none;
    Turn turn{Turn::kQuit, 0};
    exchange(group_, turn, none);
  }

 private:
  void reset() {
    conversation_.clear();
    if (!options_.system.empty()) conversation_.add("system", options_.system);
  }

  bool read_line(std::string& line) {
    if (::isatty(STDIN_FILENO) == 1) fmt::print(stderr, "> ");
    // The others give up on a silent rank at the deadline: speak well before.
    const int patience = static_cast<int>(options_.run.deadline_seconds * 1000 / 4) + 1;
    for (;;) {
      switch (reader_.read(patience, line)) {
        case LineReader::Status::kLine:
          return true;
        case LineReader::Status::kEnd:
          return false;
        case LineReader::Status::kNothingYet: {
          std::vector<int32_t> none;
          Turn turn{Turn::kWait, 0};
          exchange(group_, turn, none);
        }
      }
    }
  }

  void answer(const std::string& line) {
    conversation_.add("user", line);
    std::vector<int32_t> tokens = conversation_.tokens();
    const int64_t room = options_.context - static_cast<int64_t>(tokens.size());
    if (room < 1) {
      fmt::print(stderr, "The conversation has {} tokens, the context {}: /reset, or --context.\n",
                 tokens.size(), options_.context);
      return;
    }
    Turn turn{Turn::kAnswer, 0};
    exchange(group_, turn, tokens);
    StreamDecoder decoder(tokenizer_, SkipSpecial::kSkip);
    std::string text;
    const auto emit = [&](const std::string& piece) {
      text += piece;
      if (options_.run.json) return;
      std::fwrite(piece.data(), 1, piece.size(), stdout);
      std::fflush(stdout);
    };
    const auto result = run_turn(tokens, [&](int32_t token) {
      emit(decoder.push(token));
      return true;
    });
    emit(decoder.finish());
    conversation_.add("assistant", text);
    if (!options_.run.json) {
      fmt::print("\n");
      std::fflush(stdout);
      return;
    }
    // One object a line, so that a program can hold the conversation.
    fmt::print("{}\n", dump_json({{"text", text},
                                  {"tokens", result.tokens},
                                  {"prompt_tokens", result.prompt_tokens}}));
    std::fflush(stdout);
  }

  void follow() {
    for (;;) {
      std::vector<int32_t> tokens;
      Turn turn{Turn::kWait, 0};
      exchange(group_, turn, tokens);
      if (turn.kind == Turn::kQuit) return;
      if (turn.kind == Turn::kAnswer) run_turn(tokens, [](int32_t) { return true; });
    }
  }

  GenerationResult run_turn(std::span<const int32_t> tokens, const TokenSink& sink) {
    GenerationOptions generation = options_.generation;
    generation.stop_tokens = session_.stop_tokens();
    generation.max_tokens =
        std::min(generation.max_tokens, options_.context - static_cast<int64_t>(tokens.size()));
    return generate(session_.context(), session_.model(), cache_, history_, tokens, generation,
                    sink);
  }

  const ChatOptions& options_;
  Group& group_;
  Session session_;
  Tokenizer tokenizer_;
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
  options->generation.max_tokens = 512;
  add_run_options(*command, options->run);
  command->add_option("--system", options->system, "System message")->type_name("TEXT");
  command->add_option("--context", options->context, "Tokens that the conversation may have")
      ->check(CLI::Range(int64_t{2}, int64_t{1} << 30))
      ->capture_default_str();
  command->add_option("--max-tokens", options->generation.max_tokens, "Tokens of an answer at most")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 30))
      ->capture_default_str();
  add_sampling_options(*command, options->generation.sampling);
  command->callback([options, &action] {
    action = [options](const Arguments& arguments) {
      if (options->run.model.empty()) options->run.model = default_model();
      return run_on_ranks(options->run, arguments,
                          [&](Group& group) { Chat(*options, group).run(); });
    };
  });
}

}  // namespace strake::cli
