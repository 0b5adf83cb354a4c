// Fetching what a loading will read while it still works on what it has read.
#pragma once

#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "io/safetensors.h"

namespace strake {

// One read of a tensor, or of a slice.
struct ExpectedRead {
  std::string tensor;
  ByteRuns runs;
};

// Asks the kernel for the expected reads, in their order, some way ahead of the reader, whose pace
// it takes from the directory's count of bytes read. Until it is destroyed; `weights` must outlive
// it.
class ReadAhead {
 public:
  ReadAhead(const SafetensorsDirectory& weights, std::vector<ExpectedRead> reads);

 private:
  void run(const std::stop_token& stop) const;

  const SafetensorsDirectory& weights_;
  std::vector<ExpectedRead> reads_;
  std::jthread thread_;  // ends before what it works on
};

}  // namespace strake
