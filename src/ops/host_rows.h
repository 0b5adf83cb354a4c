// The rows of a mixture on the host.
#pragma once

#include <cstdint>
#include <span>

#include "base/fail.h"
#include "base/recycled.h"
#include "strake/ops/position.h"
#include "strake/ops/routing.h"

namespace strake {

// What a NaN among a router's logits is answered with, wherever it is found.
[[noreturn]] inline void refuse_routing() {
  fail(ErrorKind::kUsage, "router: a logit is not a number");
}

class HostRows final : public DispatchedRows {
 public:
  explicit HostRows(int64_t tokens) : count_(tokens) {}

  // What becomes of rows whose expert is not held: they are no rows, or rows of expert -1.
  enum class Others { kLeftOut, kKept };
  // All rows of a routing on the host.
  void add(const Routing& routing, std::span<const HeldRows> held, Others others) {
    const auto experts = routing.experts.data<int32_t>();
    const auto weights = routing.weights.data<float>();
    const auto chosen = static_cast<size_t>(routing.chosen());
    tokens_.reserve(experts.size());
    experts_.reserve(experts.size());
    weights_.reserve(experts.size());
    for (size_t i = 0; i < experts.size(); ++i) {
      const auto token = static_cast<int32_t>(i / chosen);
      bool is_held = false;
      for (const HeldRows& rows : held) {
        if (experts[i] < rows.begin || experts[i] >= rows.end) continue;
        add(token, static_cast<int32_t>(experts[i] - rows.begin + rows.first), weights[i]);
        is_held = true;
      }
      if (!is_held && others == Others::kKept) add(token, -1, weights[i]);
    }
  }
  void add(int32_t token, int32_t expert, float weight) {
    tokens_.push_back(token);
    experts_.push_back(expert);
    weights_.push_back(weight);
  }

  GatherIndices indices() const override { return {tokens_, experts_}; }
  Mixture mixture(Mixture::Axis axis) const override {
    return {experts_, tokens_, weights_, count_, axis};
  }

 private:
  int64_t count_;  // of tokens
  Recycled<int32_t> tokens_, experts_;
  Recycled<float> weights_;
};

}  // namespace strake
