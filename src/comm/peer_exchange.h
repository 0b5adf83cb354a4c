// Short messages between the GPUs of one host: each writes its part right into the others' memory.
#pragma once

#include <chrono>
#include <memory>
#include <span>
#include <vector>

#include "base/unwinding.h"
#include "comm/peer_memory.h"
#include "strake/comm/group.h"

namespace strake {

// One launch an exchange, in the thread's stream (cudaStreamPerThread), to be captured in a graph
// and run again like any kernel. Its waiting ends: before the deadline, or when the host stops it.
class PeerExchange {
 public:
  // Called by all ranks together. Nothing, on every rank, where their GPUs cannot.
  static std::unique_ptr<PeerExchange> open(Group& control);
  // On all ranks together too, but after a failure.
  ~PeerExchange();
  PeerExchange(const PeerExchange&) = delete;
  PeerExchange& operator=(const PeerExchange&) = delete;

  // As the group's all_gather() and gather_sum(); queued unless they return false, which they do
  // for messages that are too long, on every rank.
  bool gather(std::span<const std::byte> mine, std::span<std::byte> all,
              std::span<const int64_t> counts);
  bool gather_sum(std::span<const std::span<const std::byte>> mine, std::span<std::byte> sums,
                  std::span<const int> pieces, std::span<const Merge> merges);

  // How long an exchange waits: less than the hosts' deadline.
  std::chrono::milliseconds patience() const { return control_.deadline() * 5 / 8; }
  // Those for whom this rank's GPU waited in vain. It sends and waits for nothing from then on, and
  // what exchanges were to bring is undefined.
  std::vector<int> silent_ranks() const;
  // Ends the waiting on this rank's GPU.
  void stop() noexcept;

 private:
  PeerExchange(Group& control, std::unique_ptr<PeerMemory> memory);
  // The view of an exchange that is queued now.
  PeerView view() const;

  Group& control_;
  std::unique_ptr<PeerMemory> memory_;
  PeerView view_;
  bool is_stopped_ = false;
  Unwinding unwinding_;
};

}  // namespace strake
