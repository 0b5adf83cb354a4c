// Memory of the ranks' GPUs that they write into from each other.
#pragma once

#include <memory>
#include <span>

#include "comm/peer_kernels.h"
#include "strake/comm/group.h"

namespace strake {

class PeerMemory {
 public:
  // Called by all ranks together; the memory is this thread's current GPU's. Nothing on every rank
  // where one of them runs on another host, or its GPU cannot write into all others'.
  static std::unique_ptr<PeerMemory> open(Group& control);

  // What close() has not given back stays until the process ends: others may still write there.
  ~PeerMemory() = default;
  PeerMemory(const PeerMemory&) = delete;
  PeerMemory& operator=(const PeerMemory&) = delete;

  // Called by all ranks together, when no exchange is left to happen.
  void close();

  // All but the patience.
  const PeerView& view() const { return view_; }
  // As the host sees it.
  PeerStatus& status() const { return *status_; }

 private:
  struct Identity;
  struct Offer;

  explicit PeerMemory(Group& control);
  bool can_reach(std::span<const Identity> ranks) const;
  bool allocate(int64_t lines);
  bool map(std::span<const Identity> ranks, std::span<const Offer> offers);
  void unmap_others() noexcept;
  void free_own() noexcept;

  Group& control_;
  PeerView view_{};
  PeerStatus* status_ = nullptr;
  bool is_mapped_[kMostPeers] = {};  // by rank: memory of another process
};

}  // namespace strake
