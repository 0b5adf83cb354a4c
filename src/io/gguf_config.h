// config.json from GGUF's metadata.
#pragma once

#include <map>
#include <string>

#include "base/json.h"
#include "io/gguf.h"
#include "io/gguf_architecture.h"

namespace strake {

// The fields of config.json that describe the architecture, by name; not those that describe how
// weights are stored. Throws Error(kCheckpoint) that names the metadata key, Error(kUnsupported)
// for variants that the architecture's config cannot express.
std::map<std::string, Json> config_from_gguf(const GgufFile& file,
                                             const GgufArchitecture& architecture);

// {"eos_token_id": .., "bos_token_id": ..}: generation_config.json.
Json generation_config_from_gguf(const GgufMetadata& metadata);

}  // namespace strake
