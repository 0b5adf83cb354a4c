// The command line: parses, dispatches, and turns errors into messages and exit codes.
#include <fmt/format.h>

#include <cstdio>
#include <exception>
#include <new>

#include "command.h"
#include "strake/base/error.h"

int main(int argc, char** argv) {
  using strake::ErrorKind;
  CLI::App app(
      "Strake runs quantized large language models over any number of ranks, with the same bits "
      "for each number.\nExit codes: 1 internal, 2 usage, 3 checkpoint, 4 unsupported, 5 "
      "communication, 6 system.",
      "strake");
  app.set_version_flag("--version", STRAKE_VERSION);
  app.require_subcommand(1);
  app.get_formatter()->column_width(36);
  strake::cli::Action action;
  strake::cli::add_generate(app, action);
  strake::cli::add_chat(app, action);
  strake::cli::add_score(app, action);
  strake::cli::add_quantize(app, action);
  strake::cli::add_import(app, action);
  strake::cli::add_inspect(app, action);
  strake::cli::add_verify(app, action);
  strake::cli::add_bench(app, action);
  strake::cli::add_models(app, action);
  const auto report = [](ErrorKind kind, const char* message) {
    fmt::print(stderr, "strake: {} error: {}\n", to_string(kind), message);
    return exit_code(kind);
  };
  try {
    app.parse(argc, argv);
    const int code = action(strake::cli::Arguments(argv + 1, argv + argc));
    if (std::fflush(stdout) != 0) return report(ErrorKind::kSystem, "cannot write the output");
    return code;
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);
    return report(ErrorKind::kUsage, error.what());
  } catch (const strake::Error& error) {
    return report(error.kind(), error.what());
  } catch (const std::bad_alloc&) {
    return report(ErrorKind::kSystem, "out of memory");
  } catch (const std::exception& error) {
    return report(ErrorKind::kInternal, error.what());
  }
}
