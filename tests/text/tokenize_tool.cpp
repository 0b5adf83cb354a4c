// tokenize_tool TOKENIZER.json STRINGS.json [--special]
//
// STRINGS.json is an array of strings. Prints one JSON line for each: {"ids": [...], "text": "..."}
// with the ids that it encodes to and the text that these decode to, special tokens kept.
#include <cstdio>
#include <iostream>
#include <string>

#include "base/files.h"
#include "base/json.h"
#include "strake/base/error.h"
#include "text/tokenizer.h"

int main(int argc, char** argv) try {
  if (argc < 3) {
    std::cerr << "usage: tokenize_tool TOKENIZER.json STRINGS.json [--special]\n";
    return 2;
  }
  const auto special = argc > 3 && std::string(argv[3]) == "--special"
                           ? strake::SpecialTokens::kAdd
                           : strake::SpecialTokens::kNone;
  const auto tokenizer = strake::Tokenizer::parse(strake::read_text_file(argv[1]), argv[1]);
  const auto strings = strake::parse_json(strake::read_text_file(argv[2]), argv[2]);
  for (const auto& item : strings) {
    const auto ids = tokenizer.encode(item.get<std::string>(), special);
    const strake::Json line = {{"ids", ids},
                               {"text", tokenizer.decode(ids, strake::SkipSpecial::kKeep)}};
    std::cout << strake::dump_json(line) << '\n';
  }
  return 0;
} catch (const strake::Error& error) {
  std::cerr << "tokenize_tool: " << error.what() << '\n';
  return strake::exit_code(error.kind());
}
