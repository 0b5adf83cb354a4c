#include "io/gguf_tokenizer.h"

#include <set>
#include <span>

#include "base/fail.h"

namespace strake {
namespace {

// How text is cut before merging, as the tokenizer.json of the models has it.
enum class Cut {
  kGpt2,        // GPT-2's pattern, built into ByteLevel
  kDigitsGpt2,  // every digit alone, then GPT-2's pattern
  kLlama3,
  kQwen2,
};

enum class AddBos { kNo, kYes };

struct PreTokenizer {
  std::string_view name;  // tokenizer.ggml.pre
  Cut cut;
  AddBos add_bos;  // where tokenizer.ggml.add_bos_token is absent
};

constexpr PreTokenizer kPreTokenizers[] = {
    {"gpt-2", Cut::kGpt2, AddBos::kNo},           {"smollm", Cut::kDigitsGpt2, AddBos::kNo},
    {"starcoder", Cut::kDigitsGpt2, AddBos::kNo}, {"refact", Cut::kDigitsGpt2, AddBos::kNo},
    {"llama-bpe", Cut::kLlama3, AddBos::kYes},    {"qwen2", Cut::kQwen2, AddBos::kNo},
};

constexpr const char* kLlama3Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|)"
    R"( ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kQwen2Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|)"
    R"( ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

// tokenizer.ggml.token_type
constexpr int64_t kNormal = 1;
constexpr int64_t kUnknown = 2;
constexpr int64_t kControl = 3;
constexpr int64_t kUserDefined = 4;
constexpr int64_t kUnused = 5;

template <class Known>
std::string names_of(const Known& known) {
  std::string names;
  for (const auto& item : known) names += (names.empty() ? "" : ", ") + std::string(item.name);
  return names;
}

const PreTokenizer& find_pre_tokenizer(const GgufMetadata& metadata) {
  const std::string name = metadata.text("tokenizer.ggml.pre").value_or("");
  for (const PreTokenizer& pre : kPreTokenizers)
    if (pre.name == name) return pre;
  fail(ErrorKind::kUnsupported, "{}: metadata 'tokenizer.ggml.pre': one of {} expected, found '{}'",
       metadata.what(), names_of(kPreTokenizers), name);
}

Json byte_level(std::string_view use_regex) {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", false},
          {"trim_offsets", true},
          {"use_regex", use_regex == "use_regex"}};
}

Json split_then_bytes(const char* pattern) {
  const Json split = {{"type", "Split"},
                      {"pattern", {{"Regex", pattern}}},
                      {"behavior", "Isolated"},
                      {"invert", false}};
  return {{"type", "Sequence"}, {"pretokenizers", Json::array({split, byte_level("")})}};
}

Json pre_tokenizer(Cut cut) {
  switch (cut) {
    case Cut::kGpt2:
      return byte_level("use_regex");
    case Cut::kDigitsGpt2: {
      const Json digits = {{"type", "Digits"}, {"individual_digits", true}};
      return {{"type", "Sequence"},
              {"pretokenizers", Json::array({digits, byte_level("use_regex")})}};
    }
    case Cut::kLlama3:
      return split_then_bytes(kLlama3Pattern);
    case Cut::kQwen2:
      return split_then_bytes(kQwen2Pattern);
  }
  return nullptr;
}

// The vocabulary and the texts' types, checked against each other.
class Vocabulary {
 public:
  explicit Vocabulary(const GgufMetadata& metadata)
      : metadata_(metadata),
        tokens_(required("tokenizer.ggml.tokens")),
        types_(metadata.integers("tokenizer.ggml.token_type")) {
    if (types_ != nullptr && types_->size() != tokens_.size())
      fail(ErrorKind::kCheckpoint,
           "{}: metadata 'tokenizer.ggml.token_type': {} entries expected, found {}",
           metadata.what(), tokens_.size(), types_->size());
    std::set<std::string_view> seen;
    for (size_t i = 0; i < tokens_.size(); ++i)
      if (type(i) != kUnused && !seen.insert(tokens_[i]).second)
        fail(ErrorKind::kCheckpoint,
             "{}: metadata 'tokenizer.ggml.tokens': '{}' stands twice, once as {}", metadata.what(),
             tokens_[i], i);
  }

  const std::vector<std::string>& required(const std::string& key) const {
    const auto* texts = metadata_.texts(key);
    if (texts == nullptr)
      fail(ErrorKind::kCheckpoint, "{}: metadata '{}' is missing", metadata_.what(), key);
    return *texts;
  }

  int64_t type(size_t id) const { return types_ == nullptr ? kNormal : (*types_)[id]; }

  // The token of "tokenizer.ggml.<role>_token_id", or nothing.
  std::optional<int64_t> id(std::string_view role) const {
    const std::string key = fmt::format("tokenizer.ggml.{}_token_id", role);
    const auto id = metadata_.integer(key);
    if (id && (*id < 0 || *id >= static_cast<int64_t>(tokens_.size())))
      fail(ErrorKind::kCheckpoint, "{}: metadata '{}': an id below {} expected, found {}",
           metadata_.what(), key, tokens_.size(), *id);
    return id;
  }
  const std::string& text(int64_t id) const { return tokens_[static_cast<size_t>(id)]; }

  // Members are appended, since looking each up first would take quadratic time.
  Json ids() const {
    Json ids = Json::object();
    auto& members = *ids.get_ptr<Json::object_t*>();
    for (size_t i = 0; i < tokens_.size(); ++i)
      if (type(i) != kUnused) members.push_back({tokens_[i], i});
    return ids;
  }

  // Tokens that are found in text before it is cut.
  Json added() const {
    Json added = Json::array();
    for (size_t i = 0; i < tokens_.size(); ++i) {
      if (type(i) != kControl && type(i) != kUserDefined && type(i) != kUnknown) continue;
      added.push_back({{"id", i},
                       {"content", tokens_[i]},
                       {"single_word", false},
                       {"lstrip", false},
                       {"rstrip", false},
                       {"normalized", false},
                       {"special", type(i) != kUserDefined}});
    }
    return added;
  }

 private:
  const GgufMetadata& metadata_;
  const std::vector<std::string>& tokens_;
  const std::vector<int64_t>* types_;
};

Json merges(const GgufMetadata& metadata, const Vocabulary& vocabulary) {
  const std::string key = "tokenizer.ggml.merges";
  Json merges = Json::array();
  for (const std::string& merge : vocabulary.required(key)) {
    const size_t space = merge.find(' ', 1);  // a token of its own may begin with a space
    if (space == merge.npos || space + 1 == merge.size())
      fail(ErrorKind::kCheckpoint, "{}: metadata '{}': two tokens expected, found '{}'",
           metadata.what(), key, merge);
    merges.push_back(Json::array({merge.substr(0, space), merge.substr(space + 1)}));
  }
  return merges;
}

// Puts the tokens before and behind every text; nothing when there are none.
Json post_processor(const Vocabulary& vocabulary, std::optional<int64_t> before,
                    std::optional<int64_t> behind) {
  if (!before && !behind) return nullptr;
  Json special = Json::object();
  const auto sequence = [&](Json& items, const char* id, int type_id) {
    const auto token = [&](int64_t token_id) {
      const std::string& text = vocabulary.text(token_id);
      items.push_back({{"SpecialToken", {{"id", text}, {"type_id", type_id}}}});
      special[text] = {
          {"id", text}, {"ids", Json::array({token_id})}, {"tokens", Json::array({text})}};
    };
    if (before) token(*before);
    items.push_back({{"Sequence", {{"id", id}, {"type_id", type_id}}}});
    if (behind) token(*behind);
  };
  Json single = Json::array();
  Json pair = Json::array();
  sequence(single, "A", 0);
  sequence(pair, "A", 0);
  sequence(pair, "B", 1);
  return {{"type", "TemplateProcessing"},
          {"single", single},
          {"pair", pair},
          {"special_tokens", special}};
}

Json tokenizer_config(const GgufMetadata& metadata, const Vocabulary& vocabulary, bool add_bos) {
  Json config = {{"add_bos_token", add_bos}, {"clean_up_tokenization_spaces", false}};
  const std::pair<const char*, const char*> roles[] = {
      {"bos", "bos"}, {"eos", "eos"}, {"unknown", "unk"}, {"padding", "pad"}};
  for (const auto& [role, name] : roles)
    if (const auto id = vocabulary.id(role))
      config[fmt::format("{}_token", name)] = vocabulary.text(*id);
  if (const auto chat = metadata.text("tokenizer.chat_template")) config["chat_template"] = *chat;
  config["tokenizer_class"] = "PreTrainedTokenizerFast";
  return config;
}

}  // namespace

std::optional<ImportedTokenizer> tokenizer_from_gguf(const GgufMetadata& metadata) {
  const auto model = metadata.text("tokenizer.ggml.model");
  if (!model) return std::nullopt;
  if (*model != "gpt2")
    fail(ErrorKind::kUnsupported,
         "{}: metadata 'tokenizer.ggml.model': gpt2 (byte-level BPE) expected, found '{}'",
         metadata.what(), *model);
  const PreTokenizer& pre = find_pre_tokenizer(metadata);
  const Vocabulary vocabulary(metadata);
  const bool add_bos =
      metadata.flag("tokenizer.ggml.add_bos_token").value_or(pre.add_bos == AddBos::kYes);
  const bool add_eos = metadata.flag("tokenizer.ggml.add_eos_token").value_or(false);
  const Json bpe = {{"type", "BPE"},
                    {"dropout", nullptr},
                    {"unk_token", nullptr},
                    {"continuing_subword_prefix", nullptr},
                    {"end_of_word_suffix", nullptr},
                    {"fuse_unk", false},
                    {"byte_fallback", false},
                    {"ignore_merges", pre.cut == Cut::kLlama3},
                    {"vocab", vocabulary.ids()},
                    {"merges", merges(metadata, vocabulary)}};
  Json normalizer = nullptr;
  if (pre.cut == Cut::kQwen2) normalizer = {{"type", "NFC"}};
  Json decoder = byte_level("use_regex");
  decoder["add_prefix_space"] = true;
  const auto none = std::optional<int64_t>();
  return ImportedTokenizer{
      {{"version", "1.0"},
       {"truncation", nullptr},
       {"padding", nullptr},
       {"added_tokens", vocabulary.added()},
       {"normalizer", normalizer},
       {"pre_tokenizer", pre_tokenizer(pre.cut)},
       {"post_processor", post_processor(vocabulary, add_bos ? vocabulary.id("bos") : none,
                                         add_eos ? vocabulary.id("eos") : none)},
       {"decoder", decoder},
       {"model", bpe}},
      tokenizer_config(metadata, vocabulary, add_bos)};
}

}  // namespace strake
