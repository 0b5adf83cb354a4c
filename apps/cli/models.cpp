// strake models: what can run.
#include "models/model.h"

#include <fmt/format.h>

#include "command.h"
#include "report.h"

namespace strake::cli {
namespace {

// As README.md has it.
void print_table() {
  fmt::print("| `model_type` | models |\n|---|---|\n");
  for (const ModelEntry& entry : known_models())
    fmt::print("| `{}` | {} |\n", entry.model_type, entry.models);
}

void print_models_json() {
  Json list = Json::array();
  for (const ModelEntry& entry : known_models())
    list.push_back({{"model_type", entry.model_type}, {"models", entry.models}});
  print_json({{"models", std::move(list)}});
}

}  // namespace

void add_models(CLI::App& app, Action& action) {
  auto* command = app.add_subcommand("models", "List the types of models that run");
  auto json = std::make_shared<bool>(false);
  add_json_option(*command, *json);
  command->callback([json, &action] {
    action = [json](const Arguments&) {
      *json ? print_models_json() : print_table();
      return 0;
    };
  });
}

}  // namespace strake::cli
