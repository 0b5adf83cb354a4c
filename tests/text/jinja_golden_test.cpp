// Every case of chat_template.json, which scripts/goldens/chat_template.py made with Jinja.
#include <gmock/gmock.h>

#include <filesystem>
#include <map>

#include "base/files.h"
#include "base/json.h"
#include "strake/base/error.h"
#include "text/jinja/template.h"

namespace strake::jinja {
namespace {

// 2025-07-04 13:05:09, a Friday.
std::tm fixed_time() {
  std::tm time{};
  time.tm_year = 125;
  time.tm_mon = 6;
  time.tm_mday = 4;
  time.tm_hour = 13;
  time.tm_min = 5;
  time.tm_sec = 9;
  time.tm_wday = 5;
  time.tm_yday = 184;
  return time;
}

std::string outcome(const std::string& source, const Json& variables) {
  try {
    return "text: " + Template::parse(source, "golden").render(variables, fixed_time);
  } catch (const TemplateException& exception) {
    return std::string("raised: ") + exception.what();
  } catch (const Error&) {
    return "error";
  }
}

std::string expected(const Json& entry) {
  if (entry.contains("text")) return "text: " + entry["text"].get<std::string>();
  if (entry.contains("raised")) return "raised: " + entry["raised"].get<std::string>();
  return "error";
}

TEST(JinjaGolden, AgreesWithJinja) {
  const auto path = std::filesystem::path(STRAKE_TEST_DATA) / "text/chat_template.json";
  const Json golden = parse_json(read_text_file(path), path.string());
  std::map<std::string, int> groups;
  for (const Json& entry : golden["cases"]) {
    const auto source = golden["templates"][entry["template"].get<size_t>()].get<std::string>();
    const Json& variables = golden["contexts"][entry["context"].get<std::string>()];
    EXPECT_EQ(outcome(source, variables), expected(entry)) << entry["context"] << ": " << source;
    ++groups[entry["group"].get<std::string>()];
  }
  EXPECT_EQ(groups.size(), 17U);
  EXPECT_EQ(groups["models"], 135);
}

}  // namespace
}  // namespace strake::jinja
