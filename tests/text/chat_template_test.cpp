#include "text/chat_template.h"

#include <gmock/gmock.h>

#include <fstream>

#include "strake/base/error.h"

namespace strake {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

const Json kHello = to_json({{"user", "Hello"}});

// A checkpoint's directory, gone after the test.
class ChatTemplateFiles : public testing::Test {
 protected:
  ChatTemplateFiles()
      : directory_(fs::path(testing::TempDir()) /
                   (std::string("chat_template_") +
                    testing::UnitTest::GetInstance()->current_test_info()->name())) {
    fs::remove_all(directory_);
    fs::create_directories(directory_);
  }
  ~ChatTemplateFiles() override { fs::remove_all(directory_); }

  void write(const char* name, const std::string& text) const {
    std::ofstream(directory_ / name) << text;
  }
  void write(const char* name, const Json& json) const { write(name, json.dump()); }
  std::string rendered(const Json& extra = Json::object()) const {
    const auto loaded = ChatTemplate::load(directory_);
    return loaded ? loaded->render(kHello, GenerationPrompt::kAdded, extra) : "none";
  }
  std::string message() const {
    try {
      return "no error: " + rendered();
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kCheckpoint);
      return error.what();
    }
  }

  fs::path directory_;
};

std::string error_of(const ChatTemplate& chat, const Json& messages) {
  try {
    return "no error: " + chat.render(messages, GenerationPrompt::kOmitted);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    return error.what();
  }
}

TEST(ChatTemplate, RendersChatMl) {
  const auto chat = ChatTemplate::parse(
      "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
      "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
      "chatml");
  const Json messages = to_json({{"system", "Be brief."}, {"user", "Hi"}});
  EXPECT_EQ(chat.render(messages, GenerationPrompt::kAdded),
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
            "<|im_start|>assistant\n");
  EXPECT_EQ(chat.render(Json::array(), GenerationPrompt::kOmitted), "");
}

TEST(ChatTemplate, PassesToolsAndFurtherVariables) {
  const auto chat = ChatTemplate::parse(
      "{{ tools is none }} {{ documents is none }} {{ enable_thinking is defined }} "
      "{{ tools|tojson }} {{ add_generation_prompt }}",
      "test");
  EXPECT_EQ(chat.render(kHello, GenerationPrompt::kOmitted), "True True False null False");
  EXPECT_EQ(chat.render(kHello, GenerationPrompt::kAdded,
                        {{"tools", {{{"b", 1}, {"a", "é"}}}}, {"enable_thinking", false}}),
            "False True True [{\"b\": 1, \"a\": \"é\"}] True");
}

TEST(ChatTemplate, TellsTheTime) {
  auto chat = ChatTemplate::parse("{{ strftime_now('%d %b %Y') }}", "test");
  EXPECT_EQ(chat.render(kHello, GenerationPrompt::kOmitted).size(), 11U);
  chat.set_clock([] {
    std::tm time{};
    time.tm_year = 124;
    time.tm_mon = 11;
    time.tm_mday = 31;
    return time;
  });
  EXPECT_EQ(chat.render(kHello, GenerationPrompt::kOmitted), "31 Dec 2024");
}

TEST(ChatTemplate, ReportsErrors) {
  const auto refusing = ChatTemplate::parse("{{ raise_exception('Roles: ' ~ 1) }}", "test");
  EXPECT_EQ(error_of(refusing, kHello), "Roles: 1");
  const auto failing = ChatTemplate::parse("a\n{{ messages[0].nope.x }}", "model/template");
  EXPECT_EQ(error_of(failing, kHello),
            "model/template, line 2: 'dict object' has no attribute 'nope'");
  EXPECT_THAT(error_of(failing, "text"), HasSubstr("an array is expected, found string"));
  EXPECT_THROW(failing.render(kHello, GenerationPrompt::kAdded, 5), Error);
  for (const auto& [source, expected, kind] :
       std::vector<std::tuple<const char*, const char*, ErrorKind>>{
           {"a\n\n{% if %}", "test, line 3: Expected an expression", ErrorKind::kCheckpoint},
           {"{{ 99999999999999999999 }}", "does not fit in 64 bits", ErrorKind::kCheckpoint},
           {"{% include 'x' %}", "line 1: the tag 'include' is not", ErrorKind::kUnsupported},
           {"\n{% extends 'x' %}", "line 2: the tag 'extends' is not", ErrorKind::kUnsupported}}) {
    try {
      ChatTemplate::parse(source, "test");
      ADD_FAILURE() << source;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr(expected));
      EXPECT_EQ(error.kind(), kind) << source;
    }
  }
}

TEST_F(ChatTemplateFiles, PrefersTheFileOfItsOwn) {
  EXPECT_EQ(rendered(), "none");
  write("tokenizer_config.json", Json{{"bos_token", "<s>"}});
  EXPECT_EQ(rendered(), "none");
  write("tokenizer_config.json", Json{{"chat_template", "config {{ bos_token }}"}});
  EXPECT_EQ(rendered(), "config ");
  write("chat_template.json", Json{{"chat_template", "json"}});
  EXPECT_EQ(rendered(), "json");
  write("chat_template.jinja", std::string("jinja\n"));
  EXPECT_EQ(rendered(), "jinja");
}

TEST_F(ChatTemplateFiles, ReadsSpecialTokens) {
  write("chat_template.jinja",
        std::string("{{ bos_token }}{{ eos_token }}{{ pad_token is defined }}{{ unk_token }}"));
  write("special_tokens_map.json", Json{{"bos_token", "old"}, {"unk_token", {{"content", "<u>"}}}});
  write("tokenizer_config.json", Json{{"bos_token", {{"content", "<s>"}, {"lstrip", false}}},
                                      {"eos_token", "</s>"},
                                      {"pad_token", nullptr}});
  EXPECT_EQ(rendered(), "<s></s>False<u>");
  EXPECT_EQ(rendered({{"bos_token", "mine"}}), "mine</s>False<u>");
}

TEST_F(ChatTemplateFiles, ChoosesAmongNamedTemplates) {
  write("tokenizer_config.json",
        Json{{"chat_template",
              {{{"name", "default"}, {"template", "plain"}},
               {{"name", "tool_use"}, {"template", "tools: {{ tools|length }}"}},
               {{"name", "rag"}, {"template", "rag"}}}}});
  EXPECT_EQ(rendered(), "plain");
  EXPECT_EQ(rendered({{"tools", nullptr}}), "plain");
  EXPECT_EQ(rendered({{"tools", {1, 2}}}), "tools: 2");
}

TEST_F(ChatTemplateFiles, RefusesDamagedFiles) {
  write("tokenizer_config.json", std::string("{"));
  EXPECT_THAT(message(), HasSubstr("tokenizer_config.json: not valid JSON"));
  write("tokenizer_config.json", std::string("[]"));
  EXPECT_THAT(message(), HasSubstr("tokenizer_config.json: an object is expected, found array"));
  write("tokenizer_config.json", Json{{"chat_template", 5}});
  EXPECT_THAT(message(), HasSubstr("a string is expected, found number"));
  write("tokenizer_config.json", Json{{"chat_template", {{{"name", "x"}, {"template", "y"}}}}});
  EXPECT_THAT(message(), HasSubstr("none of the templates is 'default'"));
  write("tokenizer_config.json", Json{{"chat_template", {5}}});
  EXPECT_THAT(message(), HasSubstr("an entry without name and template"));
  write("tokenizer_config.json", Json{{"chat_template", "x"}, {"eos_token", 7}});
  EXPECT_THAT(message(), HasSubstr("eos_token is neither a string nor an object"));
  write("tokenizer_config.json", Json{{"chat_template", "{% for %}"}});
  EXPECT_THAT(message(), HasSubstr("tokenizer_config.json: chat_template, line 1"));
}

}  // namespace
}  // namespace strake
