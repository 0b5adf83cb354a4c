#include "comm/peer_exchange.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <numeric>
#include <utility>

#include "base/fail.h"

namespace strake {
namespace {

void check(cudaError_t result) {
  if (result != cudaSuccess)
    fail(ErrorKind::kSystem, "an exchange between GPUs: {}", cudaGetErrorString(result));
}

}  // namespace

std::unique_ptr<PeerExchange> PeerExchange::open(Group& control) {
  auto memory = PeerMemory::open(control);
  if (memory == nullptr) return nullptr;
  return std::unique_ptr<PeerExchange>(new PeerExchange(control, std::move(memory)));
}

PeerExchange::PeerExchange(Group& control, std::unique_ptr<PeerMemory> memory)
    : control_(control), memory_(std::move(memory)), view_(memory_->view()) {}

PeerView PeerExchange::view() const {
  PeerView view = view_;
  view.patience = static_cast<uint64_t>(std::chrono::nanoseconds(patience()).count());
  return view;
}

PeerExchange::~PeerExchange() {
  const bool failed = unwinding_ || is_stopped_ ||
                      cudaStreamSynchronize(cudaStreamPerThread) != cudaSuccess ||
                      !silent_ranks().empty();
  if (failed) {
    stop();
    return;
  }
  try {
    control_.barrier();  // until the others' exchanges have happened, too
    memory_->close();
  } catch (const std::exception&) {
    // Another rank failed: the memory stays.
  }
}

bool PeerExchange::gather(std::span<const std::byte> mine, std::span<std::byte> all,
                          std::span<const int64_t> counts) {
  const int64_t lines = lines_for(std::ranges::max(counts));
  if (lines > view_.lines) return false;
  if (all.empty()) return true;
  PeerGather gather{.mine = mine.data(), .all = all.data(), .offsets = {}};
  std::partial_sum(counts.begin(), counts.end(), gather.offsets + 1);
  check(peer_gather(view(), gather, lines, cudaStreamPerThread));
  return true;
}

bool PeerExchange::gather_sum(std::span<const std::span<const std::byte>> mine,
                              std::span<std::byte> sums, std::span<const int> pieces,
                              std::span<const Merge> merges) {
  const auto bytes = std::ssize(sums);
  const int64_t lines = lines_for(bytes);
  if (std::accumulate(pieces.begin(), pieces.end(), 0) > kMostPieces ||
      std::max(1, std::ranges::max(pieces)) * lines > view_.lines)
    return false;
  if (sums.empty()) return true;
  PeerSum sum{};
  std::ranges::transform(mine, sum.mine, [](auto piece) { return piece.data(); });
  sum.sums = sums.data();
  sum.bytes = bytes;
  for (size_t rank = 0; rank < pieces.size(); ++rank)
    sum.first[rank + 1] = static_cast<int8_t>(sum.first[rank] + pieces[rank]);
  for (const Merge& merge : merges) {
    sum.into[sum.merges] = static_cast<int8_t>(merge.into);
    sum.from[sum.merges] = static_cast<int8_t>(merge.from);
    ++sum.merges;
  }
  check(peer_sum(view(), sum, lines, cudaStreamPerThread));
  return true;
}

std::vector<int> PeerExchange::silent_ranks() const {
  std::vector<int> silent;
  for (int rank = 0; rank < view_.ranks; ++rank)
    if (std::atomic_ref(memory_->status().silent[rank]).load(std::memory_order_relaxed) != 0)
      silent.push_back(rank);
  return silent;
}

void PeerExchange::stop() noexcept {
  is_stopped_ = true;
  std::atomic_ref(memory_->status().stop).store(1, std::memory_order_relaxed);
}

}  // namespace strake
