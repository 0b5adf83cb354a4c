#include "comm/nccl_group.h"

#include <cuda_runtime.h>
#include <nccl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <thread>
#include <utility>

#include "base/fail.h"
#include "comm/exchange_group.h"
#include "comm/peer_exchange.h"
#include "comm/watchdog.h"

namespace strake {
namespace {

using Clock = std::chrono::steady_clock;

// How long a GPU may take to give up waiting once it is told to.
constexpr std::chrono::milliseconds kStopLimit{1'000};

void check_nccl(ncclResult_t result, const char* call) {
  if (result != ncclSuccess)
    fail(ErrorKind::kCommunication, "{} failed: {} ({})", call, ncclGetErrorString(result),
         ncclGetLastError(nullptr));
}

class NcclGroup final : public Group {
 public:
  NcclGroup(Group& control, const GroupOptions& options, ShortMessages by);
  ~NcclGroup() override;

  int rank() const override { return control_.rank(); }
  int size() const override { return control_.size(); }
  void all_gather(std::span<const std::byte> mine, std::span<std::byte> all,
                  std::span<const int64_t> counts) override;
  bool gather_sum(std::span<const std::byte> mine, std::span<std::byte> sums,
                  std::span<const int> pieces, std::span<const Merge> merges) override;
  void all_to_all(std::span<const std::byte> send, std::span<const int64_t> send_counts,
                  std::span<std::byte> receive, std::span<const int64_t> receive_counts) override;
  void broadcast(std::span<std::byte> bytes, int root) override { control_.broadcast(bytes, root); }
  void barrier() override { control_.barrier(); }
  void check_step(uint64_t fingerprint) override {
    ++steps_;
    control_.check_step(fingerprint);
  }
  void await(const std::function<bool()>& done) override;
  void abort(std::string_view reason, int exit_code) noexcept override;

 private:
  // Queues what `calls` asks of NCCL as one exchange.
  template <class Calls>
  void exchange(const char* what, const Calls& calls);
  // Throws where a rank's part of a direct exchange did not come.
  void require_answers() const;
  [[noreturn]] void give_up(const std::function<bool()>& done);

  Group& control_;
  std::chrono::milliseconds deadline_;
  ncclComm_t communicator_ = nullptr;
  std::unique_ptr<PeerExchange> peers_;  // nullptr: NCCL carries everything
  uint64_t steps_ = 0;
  int exceptions_ = std::uncaught_exceptions();
};

NcclGroup::NcclGroup(Group& control, const GroupOptions& options, ShortMessages by)
    : control_(control), deadline_(options.deadline) {
  // Multicast over NVLink takes memory of the whole host's fabric; a user may ask for it.
  ::setenv("NCCL_NVLS_ENABLE", "0", 0);
  // Buffers of recorded collectives would be registered with all ranks: more than short messages
  // are worth.
  ::setenv("NCCL_GRAPH_REGISTER", "0", 0);
  ncclUniqueId id{};
  if (rank() == 0) check_nccl(ncclGetUniqueId(&id), "ncclGetUniqueId");
  control.broadcast(std::as_writable_bytes(std::span(&id, 1)), 0);
  // A call that starts on all ranks together and cannot be interrupted.
  const auto limit = std::max(deadline_, std::chrono::milliseconds(60'000));
  {
    const Watchdog watchdog(limit, [this, limit] {
      std::fputs(
          fmt::format("strake: rank {} of {}: NCCL did not start on every rank within {} ms\n",
                      rank(), size(), limit.count())
              .c_str(),
          stderr);
      ::_exit(exit_code(ErrorKind::kCommunication));
    });
    check_nccl(ncclCommInitRank(&communicator_, size(), id, rank()), "ncclCommInitRank");
  }
  if (by == ShortMessages::kDirect) peers_ = PeerExchange::open(control, deadline_);
}

NcclGroup::~NcclGroup() {
  // After a failure other ranks may never come: nothing is waited for.
  if (communicator_ == nullptr) return;
  const bool is_silent = peers_ != nullptr && !peers_->silent_ranks().empty();
  if (std::uncaught_exceptions() > exceptions_ || is_silent) {
    if (peers_ != nullptr) peers_->stop();
    ncclCommAbort(communicator_);
  } else {
    ncclCommDestroy(communicator_);
  }
}

template <class Calls>
void NcclGroup::exchange(const char* what, const Calls& calls) {
  check_nccl(ncclGroupStart(), what);
  calls();
  check_nccl(ncclGroupEnd(), what);
}

void NcclGroup::all_gather(std::span<const std::byte> mine, std::span<std::byte> all,
                           std::span<const int64_t> counts) {
  constexpr const char* kWhat = "all_gather";
  require_answers();
  if (peers_ != nullptr && peers_->gather(mine, all, counts)) return;
  const bool equal = std::ranges::all_of(counts, [&](int64_t n) { return n == counts[0]; });
  if (equal) {
    check_nccl(ncclAllGather(mine.data(), all.data(), mine.size(), ncclUint8, communicator_,
                             cudaStreamPerThread),
               kWhat);
    return;
  }
  exchange(kWhat, [&] {
    size_t offset = 0;
    for (int peer = 0; peer < size(); ++peer) {
      const auto count = static_cast<size_t>(counts[static_cast<size_t>(peer)]);
      if (!mine.empty())
        check_nccl(
            ncclSend(mine.data(), mine.size(), ncclUint8, peer, communicator_, cudaStreamPerThread),
            kWhat);
      if (count > 0)
        check_nccl(ncclRecv(all.data() + offset, count, ncclUint8, peer, communicator_,
                            cudaStreamPerThread),
                   kWhat);
      offset += count;
    }
  });
}

bool NcclGroup::gather_sum(std::span<const std::byte> mine, std::span<std::byte> sums,
                           std::span<const int> pieces, std::span<const Merge> merges) {
  require_answers();
  return peers_ != nullptr && peers_->gather_sum(mine, sums, pieces, merges);
}

void NcclGroup::all_to_all(std::span<const std::byte> send, std::span<const int64_t> send_counts,
                           std::span<std::byte> receive, std::span<const int64_t> receive_counts) {
  constexpr const char* kWhat = "all_to_all";
  require_answers();
  exchange(kWhat, [&] {
    size_t from = 0;
    size_t to = 0;
    for (int peer = 0; peer < size(); ++peer) {
      const auto sent = static_cast<size_t>(send_counts[static_cast<size_t>(peer)]);
      const auto received = static_cast<size_t>(receive_counts[static_cast<size_t>(peer)]);
      if (sent > 0)
        check_nccl(
            ncclSend(send.data() + from, sent, ncclUint8, peer, communicator_, cudaStreamPerThread),
            kWhat);
      if (received > 0)
        check_nccl(ncclRecv(receive.data() + to, received, ncclUint8, peer, communicator_,
                            cudaStreamPerThread),
                   kWhat);
      from += sent;
      to += received;
    }
  });
}

void NcclGroup::await(const std::function<bool()>& done) {
  const auto end = Clock::now() + deadline_;
  for (int64_t polls = 0; !done(); ++polls) {
    if (polls % 64 != 0) continue;
    ncclResult_t state = ncclSuccess;
    check_nccl(ncclCommGetAsyncError(communicator_, &state), "ncclCommGetAsyncError");
    if (state != ncclSuccess && state != ncclInProgress) check_nccl(state, "a collective of NCCL");
    require_answers();
    if (Clock::now() > end) give_up(done);
    if (polls > 4096) std::this_thread::yield();
  }
  require_answers();
}

void NcclGroup::require_answers() const {
  if (peers_ == nullptr) return;
  const std::vector<int> silent = peers_->silent_ranks();
  if (!silent.empty())
    fail(ErrorKind::kCommunication, "no answer from {} within {} ms in all_gather, step {}",
         name_ranks(silent), deadline_.count(), steps_);
}

// The GPU knows for whom it waits, if that is in a direct exchange.
void NcclGroup::give_up(const std::function<bool()>& done) {
  if (peers_ != nullptr) {
    peers_->stop();
    for (const auto end = Clock::now() + kStopLimit; !done() && Clock::now() < end;)
      require_answers();
    require_answers();
  }
  fail(ErrorKind::kCommunication,
       "the GPU of rank {} did not finish its step within {} ms: another rank may be silent",
       rank(), deadline_.count());
}

void NcclGroup::abort(std::string_view reason, int exit_code) noexcept {
  if (peers_ != nullptr) peers_->stop();
  ncclCommAbort(std::exchange(communicator_, nullptr));
  control_.abort(reason, exit_code);
}

}  // namespace

std::unique_ptr<Group> make_nccl_group(Group& control, const GroupOptions& options,
                                       ShortMessages by) {
  return std::make_unique<NcclGroup>(control, options, by);
}

}  // namespace strake
