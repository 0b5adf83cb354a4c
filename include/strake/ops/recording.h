// Steps that a device runs again by itself: operations that it has recorded, and the choice of
// tokens where it computes.
#pragma once

#include <cstdint>

#include "strake/tensor/tensor.h"

namespace strake {

// Operations that a backend has recorded, in their order, with all memory that they work in.
// Tensors that the operations were given must live as long.
class Recording {
 public:
  virtual ~Recording() = default;
  // Queues all of them once more. What they read and write has the addresses of the first time.
  virtual void run() = 0;
};

// Of the options of sampling, what needs no token but the last one's logits. Names and meaning are
// those of SamplingOptions (engine/sampling_options.h).
struct SamplingRule {
  float temperature = 0;  // 0: the largest logit
  float top_p = 1;        // 0 and 1 keep all
  float min_p = 0;
  int32_t min_tokens = 1;  // that min_p leaves
  int32_t top_k = 0;       // 0 keeps all
  uint64_t seed = 0;
};

// What came of a row of logits.
struct ChosenToken {
  int32_t token;         // -1: the logits are no numbers to choose from
  int32_t invalid;       // not 0: a router's logit was not a number
  uint64_t logits_hash;  // of this row and all before it (base/hash.h)
};

// Chooses one sequence's tokens where the backend computes.
class TokenChooser {
 public:
  virtual ~TokenChooser() = default;

  // int32 [1], where the backend computes: the token that was chosen last, and where it stands.
  // A token is 0 where none could be chosen.
  virtual const Tensor& token() const = 0;
  virtual const Tensor& position() const = 0;

  // The token that choose() chooses first will stand at `position`.
  virtual void start(int64_t position) = 0;
  // From logits float32 [1, vocabulary]: the token for the next position. Only queues it.
  virtual void choose(const Tensor& logits) = 0;
  // What the last choose() came to, once that has happened.
  virtual ChosenToken chosen(const Await& await) = 0;
};

}  // namespace strake
