// Exchanges between GPUs that write into each other's memory, as kernels.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

namespace strake {

// Ranks of one host that exchange this way, and pieces of a sum.
inline constexpr int kMostPeers = 16;
inline constexpr int kMostPieces = 16;

// A block works on so many lines, with a thread for each of them and each of the other ranks.
inline constexpr unsigned kBlockLines = 64;
inline constexpr unsigned kMostBlocks = 512;

// 8 bytes of a message: each half is 4 bytes, and above them the number of the exchange. A half is
// written and read at once, so that who finds the number has the bytes, and no fence is needed.
struct alignas(16) MailLine {
  uint64_t halves[2];
};

// A rank's own, in its GPU's memory; zeros at the start.
struct PeerState {
  // The number of the last exchange, by block: each reads its own, and nobody has to know who is
  // last. All are alike between exchanges, and on all ranks.
  uint32_t exchanges[kMostBlocks];
  uint32_t failed;  // not 0: nothing is sent or waited for any more
};

// A rank's own, in the host's memory; zeros at the start.
struct PeerStatus {
  uint32_t stop;                // the host: whoever waits gives up
  uint32_t silent[kMostPeers];  // the GPU, by rank: not 0 where it gave up waiting for that one
};

// What kernels of a rank see of the others.
struct PeerView {
  int rank;
  int ranks;
  uint32_t lines;  // that a message may have
  // By rank, each in that rank's GPU: a box [lines] for each sender, twice. An exchange uses one of
  // the two: who hears of a rank's exchange knows that it has read all of the one before.
  MailLine* mailboxes[kMostPeers];
  PeerState* state;
  PeerStatus* status;
  uint64_t patience;  // nanoseconds
};

inline constexpr int64_t kLineBytes = 8;  // of the message

// Lines of `bytes`, of which there is one at least: a rank without a message says that it is there.
inline int64_t lines_for(int64_t bytes) {
  return bytes <= kLineBytes ? 1 : (bytes + kLineBytes - 1) / kLineBytes;
}

// Rank r's bytes go to [offsets[r], offsets[r + 1]) of `all`.
struct PeerGather {
  const std::byte* mine;
  std::byte* all;
  int64_t offsets[kMostPeers + 1];
};

// Pieces [first[r], first[r + 1]) are rank r's, of `bytes` each; see Group::gather_sum().
struct PeerSum {
  const std::byte* mine[kMostPieces];
  std::byte* sums;
  int64_t bytes;
  int8_t first[kMostPeers + 1];
  int8_t merges;
  int8_t into[kMostPieces];
  int8_t from[kMostPieces];
};

// Only queue the kernel, on `lines` lines: the most that some rank has of a message, or those of a
// piece.
cudaError_t peer_gather(const PeerView& view, const PeerGather& gather, int64_t lines,
                        cudaStream_t stream);
cudaError_t peer_sum(const PeerView& view, const PeerSum& sum, int64_t lines, cudaStream_t stream);

// So many lines' threads are on this thread's GPU at once, whatever the exchange among `ranks`:
// blocks that wait leave room for those that send. Loads the kernels, too.
cudaError_t peer_lines_at_once(int ranks, int64_t& lines);

}  // namespace strake
