// The architectures whose GGUF files can become checkpoints, and how their tensors are named.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace strake {

// Whether GGUF stores the rows of the q and k projections with the halves of a head interleaved.
enum class HeadRows { kPlain, kInterleaved };

struct ModuleName {
  std::string_view gguf;        // "attn_q" of "blk.3.attn_q.weight"
  std::string_view checkpoint;  // "self_attn.q_proj"
};

struct GgufArchitecture {
  std::string_view name;         // general.architecture
  std::string_view model_type;   // config.json
  std::string_view model_class;  // config.json's architectures
  HeadRows head_rows;
  std::span<const ModuleName> layer_modules;
};

// Throws Error(kUnsupported) that lists the known ones.
const GgufArchitecture& find_gguf_architecture(std::string_view name);

struct ModuleTensor {
  std::string module;  // "model.layers.3.self_attn.q_proj"
  std::string part;    // "weight" or "bias"
  std::optional<int64_t> layer;
  std::string gguf_module;  // "attn_q"
};

// The checkpoint's name of a GGUF tensor, or nothing where the architecture has no such module.
std::optional<ModuleTensor> translate_gguf_name(const GgufArchitecture& architecture,
                                                std::string_view tensor);

}  // namespace strake
