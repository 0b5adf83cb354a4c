// Reading what a loading will ask for while it still works on what it has been given.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "io/safetensors.h"

namespace strake {

// One read of a tensor, or of a slice, and the shape of what is read.
struct ExpectedRead {
  std::string tensor;
  ByteRuns runs;
  Shape shape;
  friend bool operator==(const ExpectedRead&, const ExpectedRead&) = default;
};

// How much a loading of so many bytes may hold in passing: enough for a disk to go on while large
// tensors are laid out, and little beside the weights.
int64_t bytes_in_passing(int64_t total);

// Reads in the expected order on a thread of its own, and holds what nobody has taken yet: one
// tensor, or some of bytes_in_passing(). Until it is destroyed; `weights` must outlive it.
class ReadAhead {
 public:
  ReadAhead(const SafetensorsDirectory& weights, std::vector<ExpectedRead> reads);

  // What was read, once it is there; what was expected before it is dropped. Nothing where it was
  // not expected from here on, or could not be read: then reading it says why.
  std::optional<Tensor> take(const ExpectedRead& read);

 private:
  // Bytes of a file that are wanted, without gaps.
  struct Extent {
    int64_t begin;
    int64_t end;
  };
  void run(const std::stop_token& stop);
  std::vector<Extent> extents_of(const SafetensorsFile& file) const;
  // Whether the read-ahead from there on, however far it goes, finds what is wanted.
  bool is_onward(const SafetensorsFile& file, const ByteRuns& runs);
  // Tells the kernel of reads that come soon, up to and beyond read `current`.
  void announce(size_t current);
  Tensor read(const ExpectedRead& read);

  const SafetensorsDirectory& weights_;
  const std::vector<ExpectedRead> reads_;
  const int64_t most_held_;  // bytes
  // Of the reading thread alone.
  std::map<const SafetensorsFile*, FileReader> onward_;
  std::map<const SafetensorsFile*, std::vector<Extent>> extents_;
  size_t announced_ = 0;         // reads
  int64_t announced_bytes_ = 0;  // of those that are not read yet

  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::map<size_t, Tensor> held_;  // by their place in reads_
  int64_t held_bytes_ = 0;         // with what is being read
  size_t read_ = 0;                // those before have been read, or dropped
  size_t taken_ = 0;               // those before have been taken, or dropped
  bool ended_ = false;
  std::jthread thread_;  // ends before what it works on
};

}  // namespace strake
