// Options of how tokens are chosen, common to generate and chat.
#pragma once

#include <CLI/CLI.hpp>

#include "engine/sampler.h"

namespace strake::cli {

inline void add_sampling_options(CLI::App& command, SamplingOptions& sampling) {
  command.add_option("--temperature", sampling.temperature, "0: the likeliest token")
      ->capture_default_str();
  command.add_option("--top-p", sampling.top_p, "Likeliest tokens of this total probability")
      ->capture_default_str();
  command.add_option("--top-k", sampling.top_k, "This many likeliest tokens (0: all)")
      ->capture_default_str();
  command.add_option("--min-p", sampling.min_p, "Tokens of at least this part of the likeliest")
      ->capture_default_str();
  command
      .add_option("--repetition-penalty", sampling.repetition_penalty,
                  "Above 1: tokens used lately become less likely (0: off)")
      ->capture_default_str();
  command.add_option("--seed", sampling.seed, "Same seed, same text")->capture_default_str();
}

}  // namespace strake::cli
