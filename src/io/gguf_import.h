// GGUF files as checkpoints.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

namespace strake {

struct ImportReport {
  // What the user should know: types that went through floating point, parts left out.
  std::function<void(const std::string& line)> line = [](const std::string&) {};
  // Bytes of tensors done, of all.
  std::function<void(int64_t done, int64_t total)> progress = [](int64_t, int64_t) {};
};

// Writes the directory `out` with weights, config, tokenizer and chat template. Q4_0, Q4_1, Q8_0
// and MXFP4 keep their exact values in a quantized format; F32, F16 and BF16 stay as they are;
// other types become bfloat16, with a line for each. The directory appears when it is complete.
// Memory stays at a few tensors. Throws Error(kUsage) when `out` exists, Error(kUnsupported) for
// architectures, tokenizers, tensors and element types that have no counterpart, Error(kCheckpoint)
// for damaged files, Error(kSystem) when the disk is full.
void import_gguf(const std::filesystem::path& file, const std::filesystem::path& out,
                 const ImportReport& report = {});

}  // namespace strake
