#include "text_output.h"

#include <fmt/format.h>

#include <cstdio>
#include <utility>

namespace strake::cli {

TextOutput::TextOutput(const std::optional<Tokenizer>& tokenizer,
                       const std::vector<std::string>& stop, Print print)
    : stop_(stop), print_(print) {
  if (tokenizer) decoder_.emplace(*tokenizer, SkipSpecial::kSkip);
}

std::optional<FinishReason> TextOutput::push(int32_t token) {
  add(stop_.push(decoder_ ? decoder_->push(token) : fmt::format("{} ", token)));
  return stop_.found() ? std::optional(FinishReason::kStop) : std::nullopt;
}

std::string TextOutput::finish() {
  if (decoder_) add(stop_.push(decoder_->finish()));
  add(stop_.finish());
  return std::exchange(text_, {});
}

void TextOutput::add(const std::string& piece) {
  text_ += piece;
  if (print_ == Print::kNo || piece.empty()) return;
  std::fwrite(piece.data(), 1, piece.size(), stdout);
  std::fflush(stdout);
}

}  // namespace strake::cli
