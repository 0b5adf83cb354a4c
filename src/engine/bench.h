// How fast a model runs, and what share that is of what the same cores can do at best.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/session.h"

namespace strake {

struct BenchOptions {
  std::vector<int64_t> contexts{512};  // tokens of the prompt
  int64_t tokens = 32;                 // decode steps after each
  int repeats = 3;                     // of each context, probes between
};

// Medians, in seconds. Time in collectives is rank 0's, and waiting for slower ranks is part of it.
struct BenchPoint {
  int64_t context;
  double prefill;                 // of the whole prompt
  double first_token;             // prefill, and the choice of a token
  double first_token_collective;  // thereof in collectives
  double step;                    // of a decode step: a token's forward pass, choice and broadcast
  double step_collective;
  double collectives;    // calls of them in a decode step
  uint64_t logits_hash;  // of all rows that tokens were chosen from; the same on any ranks
};

struct BenchResult {
  int ranks;
  int threads;  // of each rank
  std::string path;
  std::vector<int64_t> bytes_per_rank;
  double bytes_per_token;       // of weights that a token reads, on all ranks
  double operations_per_token;  // of a prompt: two a weight of the linear layers
  // Medians over the run, all ranks at once and added up.
  double read_bandwidth;  // Probes; of a device with memory of its own, Backend::copy_bandwidth()
  std::optional<double> product_rate;    // Probes, on the CPU
  std::optional<double> adds_per_cycle;  // likewise, of the core that had least
  std::vector<BenchPoint> points;

  double prefill_rate(const BenchPoint& point) const;     // tokens a second
  double decode_rate(const BenchPoint& point) const;      // tokens a second
  double bandwidth_share(const BenchPoint& point) const;  // of decode; cached keys not counted
  // Of prefill, where the rate of products is known; attention not counted.
  std::optional<double> product_share(const BenchPoint& point) const;
};

// Loads the model and measures; all ranks call it with the same arguments, and the result is rank
// 0's. Throws what sessions and generation throw.
BenchResult bench(Group& group, const Division& division, std::unique_ptr<ModelSource> source,
                  const SessionOptions& session, const BenchOptions& options);

}  // namespace strake
