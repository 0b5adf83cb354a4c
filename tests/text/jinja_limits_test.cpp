// Hostile templates end in an Error that says why: no crash, no hang, no memory without bounds.
#include <gmock/gmock.h>

#include <string>

#include "strake/base/error.h"
#include "text/jinja/template.h"

namespace strake::jinja {
namespace {

using testing::HasSubstr;

std::tm epoch() { return {}; }

std::string repeated(const std::string& text, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += text;
  return out;
}

// The text, or the message of the error.
std::string result(const std::string& source, const Limits& limits = {}) {
  try {
    return Template::parse(source, "test").render(Json::object(), epoch, limits);
  } catch (const Error& error) {
    return error.what();
  }
}

TEST(JinjaLimits, DeepSource) {
  for (const int depth : {300, 100'000}) {
    EXPECT_THAT(result("{{ " + repeated("(", depth) + "1" + repeated(")", depth) + " }}"),
                HasSubstr("nested deeper than 200 levels"));
    EXPECT_THAT(result("{{ " + repeated("[", depth) + repeated("]", depth) + " }}"),
                HasSubstr("nested deeper than 200 levels"));
    EXPECT_THAT(result("{{ " + repeated("not ", depth) + "1 }}"), HasSubstr("nested deeper"));
    EXPECT_THAT(result("{{ " + repeated("-", depth) + "1 }}"), HasSubstr("nested deeper"));
    EXPECT_THAT(result(repeated("{% if 1 %}", depth)), HasSubstr("nested deeper"));
    EXPECT_THAT(result(repeated("{{ ", depth)), HasSubstr("nested deeper"));
    EXPECT_THAT(result("{{ 1" + repeated(" + 1", depth) + " }}"), HasSubstr("200 levels"));
    EXPECT_THAT(result("{{ x" + repeated(".a", depth) + " }}"), HasSubstr("200 levels"));
    EXPECT_THAT(result("{{ x" + repeated("|string", depth) + " }}"), HasSubstr("200 levels"));
    EXPECT_THAT(result("{{ x" + repeated(" or x", depth) + " }}"), HasSubstr("200 levels"));
    EXPECT_THAT(result("{{ f" + repeated("(f", depth) + repeated(")", depth) + " }}"),
                HasSubstr("nested deeper"));
  }
}

TEST(JinjaLimits, LongButFlatSource) {
  EXPECT_EQ(result("{{ 1" + repeated(" ~ 1", 5000) + " }}"), repeated("1", 5001));
  EXPECT_EQ(result("{% if 0 %}" + repeated("{% elif 0 %}", 5000) + "{% else %}x{% endif %}"), "x");
  EXPECT_THAT(result(std::string((1 << 20) + 1, 'x')), HasSubstr("at most 1048576 are read"));
  EXPECT_THAT(result("\xff"), HasSubstr("not valid UTF-8"));
}

TEST(JinjaLimits, Recursion) {
  EXPECT_THAT(result("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"),
              HasSubstr("macros call each other deeper than 150 levels"));
  const std::string nested = repeated("{% if 1 %}", 60) + "{{ f() }}" + repeated("{% endif %}", 60);
  EXPECT_THAT(result("{% macro f() %}" + nested + "{% endmacro %}{{ f() }}"),
              HasSubstr("recurses deeper than"));
  EXPECT_THAT(result("{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}"),
              HasSubstr("recurses deeper than"));
  EXPECT_EQ(result("{% macro f(n) %}{{ f(n - 1) if n }}{{ n }}{% endmacro %}{{ f(100) }}").size(),
            193U);
}

TEST(JinjaLimits, Steps) {
  const Limits limits{.steps = 200'000};
  EXPECT_THAT(result("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}"
                     "{% endfor %}",
                     limits),
              HasSubstr("more than 200000 steps"));
  EXPECT_THAT(result("{{ range(99999)|list|sum }}{% for a in range(99999) %}{{ a in range(99999)|"
                     "list }}{% endfor %}",
                     limits),
              HasSubstr("steps"));
  // Lists that share their elements have a number of paths that grows exponentially.
  const std::string doubled =
      "{% set a = namespace(x=[1], y=[1]) %}{% for i in range(40) %}"
      "{% set a.x = [a.x, a.x] %}{% set a.y = [a.y, a.y] %}{% endfor %}";
  EXPECT_THAT(result(doubled + "{{ a.x == a.y }}", limits), HasSubstr("steps"));
  const std::string tuples =
      "{% set a = namespace(x=(1,)) %}{% for i in range(40) %}"
      "{% set a.x = (a.x, a.x) %}{% endfor %}";
  EXPECT_THAT(result(tuples + "{{ {a.x: 1} }}", limits), HasSubstr("steps"));
  EXPECT_THAT(result(doubled + "{{ a.x|tojson }}", limits), HasSubstr("steps"));
  EXPECT_THAT(result(doubled + "{{ a.x }}"), HasSubstr("string of more than"));
}

TEST(JinjaLimits, Memory) {
  EXPECT_THAT(result("{{ 'ab' * 1000000000 }}"), HasSubstr("string of more than 67108864 bytes"));
  EXPECT_THAT(result("{{ [0] * 1000000000 }}"), HasSubstr("list of more than"));
  EXPECT_THAT(result("{{ ('a' * 60000000)|replace('a', 'bb') }}"), HasSubstr("string of more"));
  EXPECT_THAT(result("{{ 'a'.center(1000000000) }}"), HasSubstr("string of more"));
  EXPECT_THAT(result("{{ '%1000000000d' % 1 }}"), HasSubstr("width"));
  EXPECT_THAT(result("{{ '{:1000000000}'.format(1) }}"), HasSubstr("width"));
  EXPECT_THAT(result("{{ [1]|batch(1000000000, 1)|list }}"), HasSubstr("more than"));
  EXPECT_THAT(result("{{ [1]|slice(1000000000)|list }}"), HasSubstr("more than"));
  EXPECT_THAT(result("{{ range(100001) }}"), HasSubstr("Range too big"));
  EXPECT_THAT(result("{{ [[1]]|tojson(indent=100000000) }}"), HasSubstr("string of more"));
  EXPECT_THAT(result("{{ strftime_now('%99999999d') }}"), HasSubstr("longer than"));
  const std::string twice = "{% set a = namespace(s='x') %}{% for i in range(40) %}";
  EXPECT_THAT(result(twice + "{% set a.s = a.s ~ a.s %}{% endfor %}"), HasSubstr("string of more"));
  EXPECT_THAT(result("{% set s = 'x' * 60000000 %}{{ s }}{{ s }}"), HasSubstr("string of more"));
  const Limits limits{.bytes = 1 << 20};
  EXPECT_THAT(result("{% set a = namespace(l=[1]) %}{% for i in range(40) %}"
                     "{% set a.l = a.l + a.l %}{% endfor %}",
                     limits),
              HasSubstr("values of more than"));
}

TEST(JinjaLimits, DeepValues) {
  const auto grown = [](const std::string& step) {
    return result("{% set a = namespace(x=[]) %}{% for i in range(3000) %}{% set a.x = " + step +
                  " %}{% endfor %}{{ a.x|string|length }}");
  };
  EXPECT_THAT(grown("[a.x]"), HasSubstr("nested deeper than 256 levels"));
  EXPECT_THAT(grown("{'k': a.x}"), HasSubstr("nested deeper"));
  EXPECT_THAT(grown("a.x|map('string')"), HasSubstr("nested deeper"));
  EXPECT_THAT(grown("dict(k=a.x).items()"), HasSubstr("nested deeper"));
  EXPECT_THAT(grown("cycler(a.x)"), HasSubstr("nested deeper"));
  EXPECT_THAT(grown("namespace(x=a.x)"), HasSubstr("nested deeper"));
  EXPECT_THAT(result("{% set a = namespace() %}{% set a.a = a %}{{ a }}"),
              HasSubstr("nested deeper"));
  Json deep = 1;
  for (int i = 0; i < 300; ++i) deep = Json::array({deep});
  const auto source = Template::parse("{{ x }}", "test");
  EXPECT_THROW(source.render({{"x", deep}}, epoch), Error);
}

// What is stored where it outlives its scope stays usable, and is freed (the sanitizers watch).
TEST(JinjaLimits, EscapingObjects) {
  EXPECT_EQ(result("{% set a = namespace() %}{% for x in [1, 2] %}{% set a.l = loop %}{% endfor %}"
                   "{{ a.l.index }}{{ a.l.last }}{{ a.l.length }}"),
            "2True2");
  EXPECT_EQ(result("{% set a = namespace() %}{% for x in [1, 2, 3] if x > 1 %}{% set a.l = loop %}"
                   "{% break %}{% endfor %}{{ a.l.nextitem }}"),
            "3");
  EXPECT_EQ(result("{% set a = namespace() %}{% macro m(y) %}{% macro n() %}{{ y }}{% endmacro %}"
                   "{% set a.f = n %}{% endmacro %}{{ m(7) }}{{ a.f() }}"),
            "7");
  EXPECT_EQ(result("{% set a = namespace(f=none) %}{% macro m(g) %}{% macro n() %}{{ 1 if g }}"
                   "{% endmacro %}{% set a.f = n %}{% endmacro %}{% for i in range(20000) %}"
                   "{{ m(a.f) }}{% endfor %}{{ a.f() }}"),
            "1");
  EXPECT_EQ(result("{% set a = namespace(x=1) %}{% for i in range(20000) %}{% for x in [a.x] %}"
                   "{% set _ = loop.changed(a.x) %}{% set a.x = loop if i % 99 else 1 %}"
                   "{% endfor %}{% endfor %}ok"),
            "ok");
  EXPECT_THAT(result("{% for x in [1, 2] if x %}{{ loop.index }}{{ raise_exception('stop') }}"
                     "{% endfor %}"),
              "stop");
}

}  // namespace
}  // namespace strake::jinja
