#include "comm/nccl_group.h"

#include <cuda_runtime.h>
#include <nccl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

#include "base/fail.h"
#include "base/unwinding.h"
#include "comm/exchange_group.h"
#include "comm/peer_exchange.h"
#include "comm/watchdog.h"

namespace strake {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// Starting takes longer than a collective: libraries are read, and the host's links explored.
constexpr milliseconds kLeastStartLimit{60'000};

// How long a GPU may take to give up waiting once it is told to.
constexpr milliseconds kStopLimit{1'000};

void check_nccl(ncclResult_t result, const char* call) {
  if (result != ncclSuccess)
    fail(ErrorKind::kCommunication, "{} failed: {} ({})", call, ncclGetErrorString(result),
         ncclGetLastError(nullptr));
}

void check_cuda(cudaError_t result) {
  if (result != cudaSuccess)
    fail(ErrorKind::kSystem, "connecting GPUs: {}", cudaGetErrorString(result));
}

const cudaStream_t kStream = cudaStreamPerThread;

class NcclGroup final : public Group {
 public:
  NcclGroup(Group& control, ShortMessages by);
  ~NcclGroup() override;

  int rank() const override { return control_.rank(); }
  int size() const override { return control_.size(); }
  void all_gather(std::span<const std::byte> mine, std::span<std::byte> all,
                  std::span<const int64_t> counts) override;
  bool gather_sum(std::span<const std::span<const std::byte>> mine, std::span<std::byte> sums,
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
  milliseconds deadline() const override { return control_.deadline(); }
  void set_deadline(milliseconds deadline) override { control_.set_deadline(deadline); }
  void abort(std::string_view reason, int exit_code) noexcept override {
    if (peers_ != nullptr) peers_->stop();
    control_.abort(reason, exit_code);
  }

 private:
  // Ends the run where it lives longer than `limit`: NCCL did not `start` or `end` by then.
  Watchdog bound(const char* what, milliseconds limit);
  [[noreturn]] void fail_for(const std::string& reason);
  // NCCL connects ranks when they first exchange something, which takes as long as many steps.
  void connect();
  // Queues what `calls` asks of NCCL as one exchange.
  template <class Calls>
  void exchange(const char* what, const Calls& calls);
  // Throws where a rank's part of a direct exchange did not come.
  void require_answers() const;
  [[noreturn]] void give_up(const std::function<bool()>& done, milliseconds limit);

  Group& control_;
  ncclComm_t communicator_ = nullptr;
  std::unique_ptr<PeerExchange> peers_;  // nullptr: NCCL carries everything
  uint64_t steps_ = 0;
  Unwinding unwinding_;
};

NcclGroup::NcclGroup(Group& control, ShortMessages by) : control_(control) {
  // Multicast over NVLink takes memory of the whole host's fabric; a user may ask for it.
  ::setenv("NCCL_NVLS_ENABLE", "0", 0);
  // Buffers of recorded collectives would be registered with all ranks: more than short messages
  // are worth.
  ::setenv("NCCL_GRAPH_REGISTER", "0", 0);
  ncclUniqueId id{};
  if (rank() == 0) check_nccl(ncclGetUniqueId(&id), "ncclGetUniqueId");
  control.broadcast(std::as_writable_bytes(std::span(&id, 1)), 0);
  // NCCL itself would not say who is missing.
  control.barrier();
  {
    const Watchdog watchdog = bound("start", std::max(deadline(), kLeastStartLimit));
    check_nccl(ncclCommInitRank(&communicator_, size(), id, rank()), "ncclCommInitRank");
    connect();
  }
  if (by == ShortMessages::kDirect) peers_ = PeerExchange::open(control);
}

// After a failure nothing is waited for. Aborting, too, waits: for graphs that hold collectives,
// for other ranks, and for a GPU that may have failed.
NcclGroup::~NcclGroup() {
  const bool is_silent = peers_ != nullptr && !peers_->silent_ranks().empty();
  if (unwinding_ || is_silent) {
    if (peers_ != nullptr) peers_->stop();
    return;
  }
  const Watchdog watchdog = bound("end", deadline());
  ncclCommDestroy(communicator_);
}

Watchdog NcclGroup::bound(const char* what, milliseconds limit) {
  return Watchdog(limit, [this, what, limit] {
    const std::string reason =
        fmt::format("NCCL did not {} on every rank within {} ms", what, limit.count());
    const int code = exit_code(ErrorKind::kCommunication);
    control_.abort(reason, code);
    // It has returned: ranks are threads of this process.
    std::fputs(fmt::format("strake: rank {} of {}: {}\n", rank(), size(), reason).c_str(), stderr);
    ::_exit(code);
  });
}

void NcclGroup::connect() {
  constexpr size_t kBytes = 64;
  const auto ranks = static_cast<size_t>(size());
  std::byte* room = nullptr;
  check_cuda(cudaMalloc(reinterpret_cast<void**>(&room), 2 * kBytes * ranks));
  const std::vector<int64_t> counts(ranks, kBytes);
  all_to_all({room, kBytes * ranks}, counts, {room + kBytes * ranks, kBytes * ranks}, counts);
  check_nccl(ncclAllGather(room, room + kBytes * ranks, kBytes, ncclUint8, communicator_, kStream),
             "ncclAllGather");
  check_cuda(cudaStreamSynchronize(kStream));
  check_cuda(cudaFree(room));
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

bool NcclGroup::gather_sum(std::span<const std::span<const std::byte>> mine,
                           std::span<std::byte> sums, std::span<const int> pieces,
                           std::span<const Merge> merges) {
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
  const milliseconds limit = deadline() * 3 / 4;
  const auto end = Clock::now() + limit;
  for (int64_t polls = 1; !done(); ++polls) {
    if (polls > 4096) std::this_thread::yield();
    if (polls % 64 != 0) continue;
    ncclResult_t state = ncclSuccess;
    check_nccl(ncclCommGetAsyncError(communicator_, &state), "ncclCommGetAsyncError");
    if (state != ncclSuccess && state != ncclInProgress)
      fail_for(fmt::format("a collective of NCCL failed: {} ({})", ncclGetErrorString(state),
                           ncclGetLastError(communicator_)));
    require_answers();
    if (Clock::now() > end) give_up(done, limit);
  }
  require_answers();
}

void NcclGroup::require_answers() const {
  if (peers_ == nullptr) return;
  const std::vector<int> silent = peers_->silent_ranks();
  if (!silent.empty())
    fail(ErrorKind::kCommunication, "no answer from {} within {} ms in all_gather, step {}",
         name_ranks(silent), peers_->patience().count(), steps_);
}

// The GPU knows for whom it waits, if that is in a direct exchange.
void NcclGroup::give_up(const std::function<bool()>& done, milliseconds limit) {
  if (peers_ != nullptr) {
    peers_->stop();
    for (const auto end = Clock::now() + kStopLimit; !done() && Clock::now() < end;)
      require_answers();
    require_answers();
  }
  fail_for(fmt::format("its GPU did not finish a step within {} ms", limit.count()));
}

// On a GPU a rank that is gone looks like one that is slow. Its host tells them apart.
void NcclGroup::fail_for(const std::string& reason) {
  set_deadline(deadline() / 4);
  try {
    control_.barrier();
  } catch (const Error& error) {
    fail(ErrorKind::kCommunication, "{}; {}", reason, error.what());
  }
  fail(ErrorKind::kCommunication, "{}, and every rank answers", reason);
}

}  // namespace

std::unique_ptr<Group> make_nccl_group(Group& control, ShortMessages by) {
  return std::make_unique<NcclGroup>(control, by);
}

}  // namespace strake
