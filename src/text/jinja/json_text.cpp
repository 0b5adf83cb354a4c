#include "text/jinja/json_text.h"

#include <algorithm>
#include <cmath>

#include "text/jinja/compare.h"
#include "text/jinja/print.h"
#include "text/jinja/unicode.h"

namespace strake::jinja {
namespace {

std::string quoted(std::string_view text, Alphabet alphabet) {
  std::string out = "\"";
  for (size_t at = 0; at < text.size();) {
    const char32_t c = next_code_point(text, at);
    const auto code = static_cast<uint32_t>(c);
    switch (c) {
      case U'"':
        out += "\\\"";
        break;
      case U'\\':
        out += "\\\\";
        break;
      case U'\n':
        out += "\\n";
        break;
      case U'\r':
        out += "\\r";
        break;
      case U'\t':
        out += "\\t";
        break;
      case U'\b':
        out += "\\b";
        break;
      case U'\f':
        out += "\\f";
        break;
      default:
        if (c < 0x20 || (alphabet == Alphabet::kAscii && c > 0x7E && c < 0x10000)) {
          out += fmt::format("\\u{:04x}", code);
        } else if (alphabet == Alphabet::kAscii && c >= 0x10000) {
          const uint32_t rest = code - 0x10000;
          out += fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + (rest >> 10), 0xDC00 + (rest & 0x3FF));
        } else {
          append_utf8(out, c);
        }
    }
  }
  return out + '"';
}

class Writer {
 public:
  Writer(const JsonStyle& style, Budget& budget) : style_(style), budget_(budget) {}

  void write(const Value& value) {
    budget_.step();
    if (const Text* text = value.text()) {
      out_.append(quoted(text->bytes, style_.alphabet));
    } else if (const List* list = value.list()) {
      write_list(*list);
    } else if (const Dict* dict = value.dict()) {
      write_dict(*dict);
    } else {
      out_.append(scalar(value));
    }
  }
  std::string take() { return out_.take(); }

 private:
  static std::string scalar(const Value& value) {
    if (value.is_none()) return "null";
    if (const bool* flag = value.boolean()) return *flag ? "true" : "false";
    if (const int64_t* number = value.integer()) return std::to_string(*number);
    if (const double* number = value.real()) {
      if (std::isnan(*number)) return "NaN";
      if (std::isinf(*number)) return *number < 0 ? "-Infinity" : "Infinity";
      return print_float(*number);
    }
    raise("Object of type {} is not JSON serializable", value.type_name());
  }

  static std::string key_text(const Value& key) {
    if (const Text* text = key.text()) return text->bytes;
    if (key.is_none() || key.is_number()) return scalar(key);
    raise("keys must be str, int, float, bool or None, not {}", key.type_name());
  }

  void open(const char* bracket) {
    out_.append(bracket);
    ++level_;
    new_line();
  }
  void separate() {
    out_.append(style_.item_separator);
    new_line();
  }
  void close(const char* bracket) {
    --level_;
    new_line();
    out_.append(bracket);
  }
  void new_line() {
    if (style_.indent) out_.append("\n").repeat(*style_.indent, level_);
  }

  void write_list(const List& list) {
    if (list.items.empty()) {
      out_.append("[]");
      return;
    }
    open("[");
    for (size_t i = 0; i < list.items.size(); ++i) {
      if (i > 0) separate();
      write(list.items[i]);
    }
    close("]");
  }

  void write_dict(const Dict& dict) {
    if (dict.entries().empty()) {
      out_.append("{}");
      return;
    }
    std::vector<Dict::Entry> entries = dict.entries();
    if (style_.order == KeyOrder::kSorted)
      std::ranges::stable_sort(entries, [&](const Dict::Entry& a, const Dict::Entry& b) {
        return less(a.first, b.first, budget_);
      });
    open("{");
    for (size_t i = 0; i < entries.size(); ++i) {
      if (i > 0) separate();
      out_.append(quoted(key_text(entries[i].first), style_.alphabet));
      out_.append(style_.key_separator);
      write(entries[i].second);
    }
    close("}");
  }

  const JsonStyle& style_;
  Budget& budget_;
  TextBuilder out_;
  int level_ = 0;
};

}  // namespace

Value from_json(const Json& json, int depth) {
  if (depth >= kMaxDepth) raise("JSON is nested deeper than {} levels", kMaxDepth);
  switch (json.type()) {
    case Json::value_t::null:
      return None{};
    case Json::value_t::boolean:
      return Value(json.get<bool>());
    case Json::value_t::number_integer:
      return Value(json.get<int64_t>());
    case Json::value_t::number_unsigned: {
      const auto number = json.get<uint64_t>();
      if (number > static_cast<uint64_t>(INT64_MAX)) raise("integer {} is out of range", number);
      return Value(static_cast<int64_t>(number));
    }
    case Json::value_t::number_float:
      return Value(json.get<double>());
    case Json::value_t::string: {
      const auto& text = json.get_ref<const std::string&>();
      if (!valid_utf8(text)) raise("a string in the variables is not valid UTF-8");
      return Value(text);
    }
    case Json::value_t::array: {
      std::vector<Value> items;
      for (const Json& item : json) items.push_back(from_json(item, depth + 1));
      return Value::list(std::move(items));
    }
    case Json::value_t::object: {
      auto dict = std::make_shared<Dict>();
      for (const auto& [key, item] : json.items()) {
        if (!valid_utf8(key)) raise("a key in the variables is not valid UTF-8");
        dict->set(key, from_json(item, depth + 1));
      }
      return Value(std::shared_ptr<const Dict>(std::move(dict)));
    }
    case Json::value_t::binary:
    case Json::value_t::discarded:
      break;
  }
  raise("a variable is not JSON");
}

std::string print_json(const Value& value, const JsonStyle& style, Budget& budget) {
  Writer writer(style, budget);
  writer.write(value);
  return writer.take();
}

}  // namespace strake::jinja
