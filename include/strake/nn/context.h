// What a layer computes with.
#pragma once

#include <string_view>

#include "strake/comm/group.h"
#include "strake/ops/backend.h"

namespace strake {

// Sees named values that are the same on every rank, in the order of the computation: for
// comparing runs.
class Trace {
 public:
  virtual ~Trace() = default;
  virtual void record(std::string_view name, const Tensor& value) = 0;
};

// Passed to every call, looked up nowhere.
struct Context {
  Backend& backend;
  Group& group;
  // What activations are rounded to where they enter a product. Sums are float32 in any case.
  DType activations;
  Trace* trace = nullptr;

  // Waits for a device as long as the group has patience. The context must live as long.
  Await await() const {
    return [this](const std::function<bool()>& done) { group.await(done); };
  }
  // The tensor's values, once they are computed.
  Tensor on_host(const Tensor& x) const { return x.on_host(await()); }

  void record(std::string_view name, const Tensor& value) const {
    if (trace != nullptr) trace->record(name, on_host(value));
  }
};

}  // namespace strake
