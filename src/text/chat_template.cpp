#include "text/chat_template.h"

#include <array>
#include <ctime>

#include "base/fail.h"
#include "base/files.h"

namespace strake {
namespace {
namespace fs = std::filesystem;

constexpr int64_t kMaxConfigBytes = int64_t{64} << 20;

// The variables that stand for special tokens.
constexpr std::array<const char*, 7> kTokenNames{"bos_token", "eos_token", "unk_token", "sep_token",
                                                 "pad_token", "cls_token", "mask_token"};

std::tm local_time() {
  const std::time_t now = std::time(nullptr);
  std::tm broken_down{};
  ::localtime_r(&now, &broken_down);
  return broken_down;
}

std::optional<Json> read_json(const fs::path& path) {
  if (!fs::exists(path)) return std::nullopt;
  Json json =
      parse_json(read_text_file(path, kMaxConfigBytes), path.string(), DuplicateKeys::kLastWins);
  if (!json.is_object())
    fail(ErrorKind::kCheckpoint, "{}: an object is expected, found {}", path.string(),
         json.type_name());
  return json;
}

// A token is a string or an object with its content; null and absent ones stay undefined.
void add_tokens(const Json& config, const fs::path& path, Json& tokens) {
  for (const char* name : kTokenNames) {
    const auto found = config.find(name);
    if (found == config.end() || found->is_null()) continue;
    const bool object = found->is_object() && found->contains("content");
    const Json& token = object ? (*found)["content"] : *found;
    if (!token.is_string())
      fail(ErrorKind::kCheckpoint, "{}: {} is neither a string nor an object with one as content",
           path.string(), name);
    tokens[name] = token;
  }
}

struct Source {
  std::string text;
  std::string what;
};
struct Sources {
  std::optional<Source> main, tool_use;
};

const std::string& text_of(const Json& json, const std::string& what) {
  if (!json.is_string())
    fail(ErrorKind::kCheckpoint, "{}: a string is expected, found {}", what, json.type_name());
  return json.get_ref<const std::string&>();
}

// "chat_template": one template, or a list of named ones.
Sources named_sources(const Json& value, const std::string& what) {
  Sources sources;
  if (!value.is_array()) {
    sources.main = Source{text_of(value, what), what};
    return sources;
  }
  for (const Json& entry : value) {
    if (!entry.is_object() || !entry.contains("name") || !entry.contains("template"))
      fail(ErrorKind::kCheckpoint, "{}: an entry without name and template", what);
    const std::string name = text_of(entry["name"], what + ": name");
    const std::string entry_what = what + " '" + name + "'";
    const Source source{text_of(entry["template"], entry_what), entry_what};
    if (name == "default") sources.main = source;
    if (name == "tool_use") sources.tool_use = source;
  }
  if (!sources.main) fail(ErrorKind::kCheckpoint, "{}: none of the templates is 'default'", what);
  return sources;
}

Sources find_sources(const fs::path& directory, const std::optional<Json>& config) {
  const fs::path plain = directory / "chat_template.jinja";
  if (fs::exists(plain))
    return {Source{read_text_file(plain, kMaxConfigBytes), plain.string()}, std::nullopt};
  const auto in = [](const std::optional<Json>& json) {
    return json && json->contains("chat_template") && !(*json)["chat_template"].is_null();
  };
  const fs::path wrapped = directory / "chat_template.json";
  const std::optional<Json> json = read_json(wrapped);
  if (in(json)) return named_sources((*json)["chat_template"], wrapped.string());
  if (in(config))
    return named_sources((*config)["chat_template"],
                         (directory / "tokenizer_config.json").string() + ": chat_template");
  return {};
}

}  // namespace

Json to_json(const std::vector<ChatMessage>& messages) {
  Json json = Json::array();
  for (const ChatMessage& message : messages)
    json.push_back({{"role", message.role}, {"content", message.content}});
  return json;
}

ChatTemplate::ChatTemplate(jinja::Template main) : main_(std::move(main)), clock_(local_time) {}

ChatTemplate ChatTemplate::parse(std::string_view source, std::string_view what) {
  return ChatTemplate(jinja::Template::parse(source, what));
}

std::optional<ChatTemplate> ChatTemplate::load(const fs::path& directory) {
  const fs::path config_path = directory / "tokenizer_config.json";
  const std::optional<Json> config = read_json(config_path);
  const Sources sources = find_sources(directory, config);
  if (!sources.main) return std::nullopt;
  ChatTemplate made = parse(sources.main->text, sources.main->what);
  if (sources.tool_use)
    made.tool_use_ = jinja::Template::parse(sources.tool_use->text, sources.tool_use->what);
  const fs::path map_path = directory / "special_tokens_map.json";
  if (const auto map = read_json(map_path)) add_tokens(*map, map_path, made.tokens_);
  if (config) add_tokens(*config, config_path, made.tokens_);
  return made;
}

std::string ChatTemplate::render(const Json& messages, GenerationPrompt prompt,
                                 const Json& extra) const {
  if (!messages.is_array())
    fail(ErrorKind::kUsage, "messages: an array is expected, found {}", messages.type_name());
  if (!extra.is_object())
    fail(ErrorKind::kUsage, "template variables: an object is expected, found {}",
         extra.type_name());
  // Templates ask whether these are none rather than whether they are defined.
  Json variables = {{"tools", nullptr}, {"documents", nullptr}};
  variables.update(tokens_);
  variables.update(extra);
  variables["messages"] = messages;
  variables["add_generation_prompt"] = prompt == GenerationPrompt::kAdded;
  const bool with_tools = tool_use_ && !variables["tools"].is_null();
  return (with_tools ? *tool_use_ : main_).render(variables, clock_);
}

}  // namespace strake
