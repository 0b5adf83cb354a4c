#include "comm/exchange_group.h"

#include <algorithm>
#include <cstring>

#include "base/fail.h"

namespace strake {

const char* to_string(Collective collective) noexcept {
  switch (collective) {
    case Collective::kAllGather:
      return "all_gather";
    case Collective::kAllToAll:
      return "all_to_all";
    case Collective::kBroadcast:
      return "broadcast";
    case Collective::kBarrier:
      return "barrier";
    case Collective::kLeave:
      return "the end of the run";
  }
  return "an unknown collective";
}

std::string name_ranks(std::span<const int> ranks) {
  return fmt::format("{} {}", ranks.size() == 1 ? "rank" : "ranks", fmt::join(ranks, ", "));
}

ExchangeGroup::ExchangeGroup(int rank, int size, const GroupOptions& options)
    : Group(options), rank_(rank), size_(size), tokens_(size) {}

Pieces& ExchangeGroup::no_pieces() {
  pieces_.outgoing.assign(size_, {});
  pieces_.incoming.assign(size_, {});
  return pieces_;
}

void ExchangeGroup::check_counts(Collective collective, std::span<const int64_t> counts,
                                 size_t bytes) const {
  if (std::ssize(counts) != size_)
    fail(ErrorKind::kInternal, "{}: {} counts expected, found {}", to_string(collective), size_,
         counts.size());
  size_t sum = 0;
  for (const int64_t count : counts) {
    if (count < 0 || static_cast<size_t>(count) > bytes - sum)
      fail(ErrorKind::kInternal, "{}: counts {} do not fit {} bytes", to_string(collective),
           fmt::join(counts, ", "), bytes);
    sum += static_cast<size_t>(count);
  }
  if (sum != bytes)
    fail(ErrorKind::kInternal, "{}: counts sum to {}, bytes are {}", to_string(collective), sum,
         bytes);
}

namespace {

// Calls piece(rank, offset, count) for each rank's part of a buffer that `counts` cuts.
template <class Piece>
void for_pieces(std::span<const int64_t> counts, const Piece& piece) {
  size_t offset = 0;
  for (size_t rank = 0; rank < counts.size(); ++rank) {
    piece(rank, offset, static_cast<size_t>(counts[rank]));
    offset += static_cast<size_t>(counts[rank]);
  }
}

// What a rank gives to itself; the two may be the same bytes.
void take_own(std::span<const std::byte>& from, std::span<std::byte>& to) {
  if (!to.empty()) std::memmove(to.data(), from.data(), to.size());
  from = {};
  to = {};
}

}  // namespace

void ExchangeGroup::all_gather(std::span<const std::byte> mine, std::span<std::byte> all,
                               std::span<const int64_t> counts) {
  check_counts(Collective::kAllGather, counts, all.size());
  if (std::ssize(mine) != counts[rank_])
    fail(ErrorKind::kInternal, "all_gather: {} bytes of rank {} expected, found {}", counts[rank_],
         rank_, mine.size());
  Pieces& pieces = no_pieces();
  std::fill(pieces.outgoing.begin(), pieces.outgoing.end(), mine);
  for_pieces(counts, [&](size_t rank, size_t offset, size_t count) {
    pieces.incoming[rank] = all.subspan(offset, count);
  });
  take_own(pieces.outgoing[rank_], pieces.incoming[rank_]);
  exchange(Collective::kAllGather, pieces);
}

void ExchangeGroup::all_to_all(std::span<const std::byte> send,
                               std::span<const int64_t> send_counts, std::span<std::byte> receive,
                               std::span<const int64_t> receive_counts) {
  check_counts(Collective::kAllToAll, send_counts, send.size());
  check_counts(Collective::kAllToAll, receive_counts, receive.size());
  if (send_counts[rank_] != receive_counts[rank_])
    fail(ErrorKind::kInternal, "all_to_all: rank {} sends itself {} bytes and expects {}", rank_,
         send_counts[rank_], receive_counts[rank_]);
  Pieces& pieces = no_pieces();
  for_pieces(send_counts, [&](size_t rank, size_t offset, size_t count) {
    pieces.outgoing[rank] = send.subspan(offset, count);
  });
  for_pieces(receive_counts, [&](size_t rank, size_t offset, size_t count) {
    pieces.incoming[rank] = receive.subspan(offset, count);
  });
  take_own(pieces.outgoing[rank_], pieces.incoming[rank_]);
  exchange(Collective::kAllToAll, pieces);
}

void ExchangeGroup::broadcast(std::span<std::byte> bytes, int root) {
  if (root < 0 || root >= size_)
    fail(ErrorKind::kInternal, "broadcast: root in [0, {}) expected, found {}", size_, root);
  Pieces& pieces = no_pieces();
  if (root == rank_) {
    std::fill(pieces.outgoing.begin(), pieces.outgoing.end(), bytes);
    pieces.outgoing[rank_] = {};
  } else {
    pieces.incoming[root] = bytes;
  }
  exchange(Collective::kBroadcast, pieces);
}

void ExchangeGroup::barrier() { meet(Collective::kBarrier); }

void ExchangeGroup::meet(Collective collective) {
  Pieces& pieces = no_pieces();
  const std::span<std::byte> tokens(tokens_);
  for (int peer = 0; peer < size_; ++peer) {
    if (peer == rank_) continue;
    pieces.outgoing[peer] = tokens.subspan(rank_, 1);
    pieces.incoming[peer] = tokens.subspan(peer, 1);
  }
  exchange(collective, pieces);
}

}  // namespace strake
