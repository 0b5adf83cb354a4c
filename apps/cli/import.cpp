// strake import: a GGUF file as a checkpoint.
#include <fmt/format.h>

#include <cstdio>

#include "command.h"
#include "io/gguf_import.h"
#include "report.h"

namespace strake::cli {
namespace {

struct ImportOptions {
  std::filesystem::path gguf;
  std::filesystem::path out;
  bool json = false;
};

int import_command(const ImportOptions& options) {
  Progress progress("import");
  std::vector<std::string> lines;
  ImportReport report;
  report.line = [&](const std::string& line) { lines.push_back(line); };
  report.progress = [&](int64_t done, int64_t total) { progress.show(done, total, ""); };
  import_gguf(options.gguf, options.out, report);
  if (options.json) {
    print_json({{"out", options.out.string()}, {"notes", lines}});
    return 0;
  }
  for (const std::string& line : lines) fmt::print("{}\n", line);
  fmt::print("{} is ready\n", options.out.string());
  return 0;
}

}  // namespace

void add_import(CLI::App& app, Action& action) {
  auto* command = app.add_subcommand("import", "Turn a GGUF file into a checkpoint directory");
  auto options = std::make_shared<ImportOptions>();
  add_json_option(*command, options->json);
  command->add_option("--gguf", options->gguf, "File to read")->type_name("FILE")->required();
  command->add_option("--out", options->out, "New directory")->type_name("DIR")->required();
  command->callback([options, &action] {
    action = [options](const Arguments&) { return import_command(*options); };
  });
}

}  // namespace strake::cli
