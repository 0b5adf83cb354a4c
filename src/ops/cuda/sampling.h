// From logits to tokens, on the device. See src/engine/sampler.h.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

namespace strake::cuda {

// Of SamplingOptions, what runs on the device. Each row has its own, in device memory.
struct RowRule {
  float temperature = 0;  // 0: the largest logit
  float top_p = 1;        // 0 and 1 keep all
  float min_p = 0;
  int32_t min_tokens = 1;  // that min_p leaves
  int32_t top_k = 0;       // 0 keeps all
};

// float32 logits [rows, vocabulary].
struct LogitRows {
  const float* logits;
  int64_t rows;
  int64_t vocabulary;
};

// The first of the largest in each row -> tokens [rows]. A row with a logit that is NaN or
// +infinity, or with nothing but -infinity, gives -1.
size_t argmax_workspace(const LogitRows& logits);
void argmax(const LogitRows& logits, void* workspace, int32_t* tokens, cudaStream_t stream);

inline constexpr int64_t kMostSampled = int64_t{1} << 20;  // tokens of a vocabulary

// Draws a token of each row: `uniforms` [rows] in [0, 1) pick from the tokens that the rule leaves.
// Sums are in double and their order depends on the vocabulary alone; the filters are those of
// token_filters.h. Rows of temperature 0 and invalid ones are as argmax() has them.
void sample(const LogitRows& logits, const RowRule* rules, const float* uniforms, int32_t* tokens,
            cudaStream_t stream);

// keys [rows] of Random (src/engine/random.h) -> its next uniform(), and the key after it.
struct UniformKey {
  uint32_t words[2];
};
void next_uniforms(UniformKey* keys, int64_t rows, float* uniforms, cudaStream_t stream);

}  // namespace strake::cuda
