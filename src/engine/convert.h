// Checkpoints in another format: quantized, requantized or dequantized.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "strake/quant/quantize.h"

namespace strake {

// Modules whose path matches `pattern` (a shell pattern: * ? [..]) get this format, or none.
struct FormatRule {
  std::string pattern;
  std::optional<Format> format;
};

struct ConvertOptions {
  std::optional<Format> format;        // of every linear layer and embedding; nothing: dequantize
  std::vector<FormatRule> rules = {};  // the first that matches decides
  Encoder encoder = Encoder::kLeastError;
  int threads = 1;
  // Called before each tensor with the bytes read so far, of all, and its name.
  std::function<void(int64_t done, int64_t total, const std::string& name)> progress = {};
};

// What became of one linear layer or embedding.
struct ConvertedModule {
  std::string path;
  std::optional<Format> format;
  int64_t elements;
  double squared_error;  // of the new values against the old, summed
  double squared;        // of the old values, summed
};

struct ConvertReport {
  std::vector<ConvertedModule> modules;
  int64_t bytes_read = 0;
  int64_t bytes_written = 0;
};

// Reads the checkpoint in `from` tensor by tensor and writes one of the same names to `to`, which
// appears only when it is complete. Modules whose inputs are not whole groups stay dense. All other
// files but weights are copied. Throws Error(kUsage) when `to` exists or a rule matches nothing,
// Error(kCheckpoint) for damaged or non-finite weights, Error(kSystem) when the disk is full.
ConvertReport convert_checkpoint(const std::filesystem::path& from, const std::filesystem::path& to,
                                 const ConvertOptions& options);

}  // namespace strake
