// Whether rank counts agree bit for bit, and where not, the first value that differs.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/session.h"
#include "strake/comm/group.h"

namespace strake {

// One value of a run that is the same on every rank: which step, which layer, the hash of its bits.
struct TracePoint {
  std::string name;  // "prefill: model.layers.3.mlp"
  uint64_t hash;
  friend bool operator==(const TracePoint&, const TracePoint&) = default;
};

struct Verification {
  int ranks;
  bool equal;
  std::string first_difference;  // the name of the first point that differs; empty where equal
  std::vector<TracePoint> trace;
};

struct VerifyOptions {
  int64_t prefill_piece = 0;  // prompt tokens run at once; 0: all
  int64_t decode_tokens = 8;  // greedy, after the prompt
  ExpertDivision experts = ExpertDivision::kSplit;
  GroupOptions group = {};
};

// Runs prefill and decode once for each rank count, on ranks that are threads of this process, and
// compares all with the first count.
std::vector<Verification> verify(const SessionOptions& session, std::span<const int> rank_counts,
                                 std::span<const int32_t> prompt, const VerifyOptions& options);

}  // namespace strake
