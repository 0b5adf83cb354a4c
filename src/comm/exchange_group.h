// Every collective is one exchange of pieces between pairs of ranks; a communicator supplies that.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "strake/comm/group.h"

namespace strake {

enum class Collective : uint8_t { kAllGather, kAllToAll, kBroadcast, kBarrier, kLeave };
const char* to_string(Collective collective) noexcept;

// "rank 2" or "ranks 2, 3".
std::string name_ranks(std::span<const int> ranks);

// What one rank gives to and takes from each rank, itself excluded; an empty piece is not sent.
struct Pieces {
  std::vector<std::span<const std::byte>> outgoing;  // [rank]
  std::vector<std::span<std::byte>> incoming;        // [rank]
};

class ExchangeGroup : public Group {
 public:
  int rank() const final { return rank_; }
  int size() const final { return size_; }
  void all_gather(std::span<const std::byte> mine, std::span<std::byte> all,
                  std::span<const int64_t> counts) final;
  void all_to_all(std::span<const std::byte> send, std::span<const int64_t> send_counts,
                  std::span<std::byte> receive, std::span<const int64_t> receive_counts) final;
  void broadcast(std::span<std::byte> bytes, int root) final;
  void barrier() final;

 protected:
  ExchangeGroup(int rank, int size, const GroupOptions& options);

  // Returns when the incoming pieces are filled and the outgoing ones may be overwritten.
  virtual void exchange(Collective collective, const Pieces& pieces) = 0;

  // An exchange of one byte between all pairs: returns when every rank has called it.
  void meet(Collective collective);

 private:
  // Empties the pieces, kept between calls for their memory.
  Pieces& no_pieces();
  void check_counts(Collective collective, std::span<const int64_t> counts, size_t bytes) const;

  int rank_;
  int size_;
  Pieces pieces_;
  std::vector<std::byte> tokens_;  // [rank]: what barriers exchange
};

}  // namespace strake
