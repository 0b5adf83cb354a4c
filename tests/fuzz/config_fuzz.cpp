// Any bytes as config.json: an Error or a config whose every reading is an Error or a value.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "io/model_config.h"
#include "strake/base/error.h"

namespace {

template <class Read>
void attempt(Read read) {
  try {
    read();
  } catch (const strake::Error&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  attempt([&] {
    const auto config = strake::ModelConfig::parse(text, "config.json");
    for (const char* field : {"hidden_size", "rope_theta", "eos_token_id", "model_type",
                              "tie_word_embeddings", "rope_scaling"}) {
      attempt([&] { config.integer(field); });
      attempt([&] { config.number(field); });
      attempt([&] { config.flag_or(field, false); });
      attempt([&] { config.text(field); });
      attempt([&] { config.token_ids(field); });
      attempt([&] { config.object(field); });
    }
    const auto quantization = strake::QuantizationConfig::parse(config);
    attempt([&] { quantization.format_of("model.embed_tokens", true); });
    attempt([&] { quantization.format_of("lm_head", false); });
  });
  return 0;
}
