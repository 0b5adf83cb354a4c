// Products with few rows as tests make them.
#pragma once

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "ops/cuda/few_rows.h"
#include "ops/cuda/leaf_steps.h"
#include "packed_case.h"

namespace strake::cuda {

inline uint64_t seed() {
  static const uint64_t drawn = [] {
    const uint64_t value = std::random_device()();
    std::printf("seed %llu\n", static_cast<unsigned long long>(value));
    return value;
  }();
  return drawn;
}

struct Kind {
  std::optional<Format> format;
  DType dtype;  // of dense elements, or of affine scales
  std::string name;
};

inline std::vector<Kind> all_kinds() {
  std::vector<Kind> kinds = {{{}, DType::kBF16, "dense bf16"}, {{}, DType::kF16, "dense f16"}};
  for (const Format format : Format::all()) {
    if (!format.has_biases()) {
      kinds.push_back({format, DType::kU8, format.to_string()});
      continue;
    }
    for (const DType dtype : {DType::kBF16, DType::kF16, DType::kF32})
      kinds.push_back({format, dtype, format.to_string() + " " + std::string(to_string(dtype))});
  }
  return kinds;
}

inline HostWeight random_weight(Random& random, const Kind& kind, Shape shape) {
  return kind.format ? random_quantized(random, *kind.format, kind.dtype, std::move(shape))
                     : random_dense(random, kind.dtype, std::move(shape));
}

// Cuts of so many leaves, each of 1 to 2 * mean - 1 units; all alike every other time.
inline std::vector<int64_t> random_cuts(Random& random, int leaves, int64_t unit, int64_t mean) {
  const bool alike = draw(random, 0, 1) == 1;
  const int64_t units = draw(random, 1, 2 * mean - 1);
  std::vector<int64_t> cuts = {0};
  for (int i = 0; i < leaves; ++i)
    cuts.push_back(cuts.back() + unit * (alike ? units : draw(random, 1, 2 * mean - 1)));
  return cuts;
}

inline constexpr uint32_t kPoison = 0xfff1f1f1u;
inline constexpr int64_t kCanary = 64;

// Runs a call whose result has `count` floats, as if on that device; checks that all were written
// and nothing beyond.
inline std::vector<float> run_on(const FewRowsDevice& device, FewRowsCall call, int64_t count,
                                 bool all_written = true) {
  DeviceBytes out =
      DeviceBytes::of(std::vector<uint32_t>(static_cast<size_t>(count + kCanary), kPoison));
  call.out = out.data<float>();
  DeviceBytes memory(few_rows_workspace_bytes(call, device));
  memory.fill(0);
  for (int turn = 0; turn < 2; ++turn)  // the second finds the workspace as the first left it
    few_rows(call, device, {memory.data(), memory.size()}, Order::kAfter, nullptr);
  check(cudaDeviceSynchronize(), "few rows");
  std::vector<float> found = out.get<float>();
  for (int64_t i = count; i < count + kCanary; ++i)
    EXPECT_EQ(std::bit_cast<uint32_t>(found[static_cast<size_t>(i)]), kPoison);
  found.resize(static_cast<size_t>(count));
  if (all_written)
    for (const float value : found) {
      EXPECT_NE(std::bit_cast<uint32_t>(value), kPoison);
      if (std::bit_cast<uint32_t>(value) == kPoison) break;
    }
  return found;
}

inline std::vector<float> run(const FewRowsCall& call, int64_t count, bool all_written = true) {
  static const FewRowsDevice device = few_rows_device();
  return run_on(device, call, count, all_written);
}

inline FewRowsCall call_of(const DeviceWeight& weight, const DeviceRows& x, int rows,
                           const LeafSteps& steps) {
  return {weight.packed, x.bytes.data(), x.dtype, x.stride, rows, steps, {}, nullptr};
}

inline bool same_bits(const float* a, const float* b, int64_t count) {
  return std::memcmp(a, b, static_cast<size_t>(count) * sizeof(float)) == 0;
}

// The exact sum, and what rounding is relative to.
struct Exact {
  double sum = 0;
  double magnitude = 0;
};

inline Exact exact(const float* x, const float* w, const float* magnitudes, int64_t count) {
  Exact found;
  for (int64_t i = 0; i < count; ++i) {
    found.sum += static_cast<double>(x[i]) * static_cast<double>(w[i]);
    found.magnitude += std::fabs(static_cast<double>(x[i]) * static_cast<double>(magnitudes[i]));
  }
  return found;
}

// What float32 sums of `terms` terms may be off, of their magnitudes: 16 are added at a time, with
// a truncation each time, and then leaves, groups and experts.
inline double rounding(int64_t terms) { return 0x1p-23 * (static_cast<double>(terms) / 16 + 32); }

inline constexpr int kRoot[] = {0};

// Rows that multiply matrices of a stack each.
struct ExpertCase {
  int64_t matrices, tokens, n, k;
  std::vector<int32_t> matrix, source, token;
  std::vector<float> factor;

  ExpertCase(Random& random, int64_t of_matrices, int64_t of_tokens, int64_t each)
      : matrices(of_matrices), tokens(of_tokens), n(draw(random, 1, 50)), k(0) {
    for (int64_t t = 0; t < tokens; ++t)
      for (int64_t i = 0; i < each; ++i) {
        matrix.push_back(static_cast<int32_t>(draw(random, 0, matrices - 1)));
        source.push_back(static_cast<int32_t>(t));
        token.push_back(static_cast<int32_t>(t));
        factor.push_back(draw_normal(random));
      }
  }
  int rows() const { return static_cast<int>(matrix.size()); }
};

inline FewRowsCall mixture_call(FewRowsCall call, const ExpertCase& c, const DeviceBytes& matrix,
                                const DeviceBytes& token, const DeviceBytes& factor) {
  call.experts.rows = c.rows();
  call.experts.matrices = static_cast<int>(c.matrices);
  call.experts.matrix = matrix.data<int32_t>();
  call.experts.token = token.data<int32_t>();
  call.experts.factor = factor.data<float>();
  call.experts.tokens = static_cast<int>(c.tokens);
  call.experts.group_cuts[1] = static_cast<int32_t>(c.matrices);
  return call;
}

}  // namespace strake::cuda
