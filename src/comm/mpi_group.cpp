#include "strake/comm/mpi_group.h"

#define OMPI_SKIP_MPICXX 1  // the C API alone
#include <mpi.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <thread>

#include "base/fail.h"
#include "base/unwinding.h"
#include "comm/daemon_guard.h"
#include "comm/exchange_group.h"
#include "comm/watchdog.h"

namespace strake {
namespace {

using Clock = std::chrono::steady_clock;

// MPI counts are int, and a message that fits no buffer of MPI's is best sent in parts.
constexpr size_t kMessageBytes = size_t{64} << 20;

// How long MPI may take to end the run before the process ends itself.
constexpr std::chrono::milliseconds kAbortLimit{2'000};

// Starting takes longer than a collective on a busy machine, whatever the deadline.
constexpr std::chrono::milliseconds kLeastStartLimit{10'000};

std::string mpi_error_text(int code) {
  char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  MPI_Error_string(code, text, &length);
  return {text, static_cast<size_t>(length)};
}

void check_mpi(int code, const char* call) {
  if (code != MPI_SUCCESS)
    fail(ErrorKind::kCommunication, "{} failed: {}", call, mpi_error_text(code));
}

// One write, so that ranks that fail together do not mix their lines.
void say(int rank, int size, std::string_view reason) {
  std::fputs(fmt::format("strake: rank {} of {}: {}\n", rank, size, reason).c_str(), stderr);
}

// MPI starts and ends on all ranks together, and cannot be interrupted.
[[noreturn]] void end_without_mpi(int rank, const char* what, std::chrono::milliseconds limit) {
  say(rank, mpi_ranks(),
      fmt::format("MPI did not {} on every rank within {} ms", what, limit.count()));
  guard_parent_daemon();
  ::_exit(exit_code(ErrorKind::kCommunication));
}

// A message's tag: which collective it belongs to, and how many the sender began before. 23 bits:
// some transports carry no more.
struct Tag {
  static constexpr uint32_t kSequences = 1u << 20;
  Collective collective;
  uint32_t sequence;  // modulo kSequences

  int encode() const { return static_cast<int>(sequence * 8 + static_cast<uint32_t>(collective)); }
  static Tag decode(int tag) {
    return {static_cast<Collective>(tag & 7), static_cast<uint32_t>(tag) >> 3};
  }
  bool operator==(const Tag&) const = default;
};

// Waits between polls: spins for some 50 us, then yields for some 5 ms, then sleeps. On a core that
// a program outside the run wants too, one yield can cost milliseconds: too much while the peer is
// about to answer. And a rank whose peer has lost its core is still awake when that goes on.
class Backoff {
 public:
  void pause() {
    ++polls_;
    if (polls_ < kSpins) return;
    if (polls_ < kSpins + kYields) {
      std::this_thread::yield();
      return;
    }
    std::this_thread::sleep_for(sleep_);
    sleep_ = std::min(sleep_ + sleep_ / 8, kLongestSleep);
  }
  // Reading the clock costs as much as a poll.
  bool should_read_clock() const { return polls_ >= kSpins + kYields || polls_ % 64 == 0; }

 private:
  static constexpr int kSpins = 1'000;
  static constexpr int kYields = 8'000;
  static constexpr std::chrono::microseconds kLongestSleep{1'000};
  int polls_ = 0;
  std::chrono::microseconds sleep_{20};
};

class MpiGroup final : public ExchangeGroup {
 public:
  MpiGroup(MPI_Comm communicator, int rank, int size, const GroupOptions& options)
      : ExchangeGroup(rank, size, options), communicator_(communicator) {}
  ~MpiGroup() override;
  void abort(std::string_view reason, int exit_code) noexcept override;

 private:
  // One request of MPI's and what it is for.
  struct Message {
    int peer;
    size_t bytes;
    bool incoming;
  };

  void exchange(Collective collective, const Pieces& pieces) override;
  void post(const Pieces& pieces, Tag tag);
  void complete(Tag tag);
  void check(const Message& message, int code, const MPI_Status& status, Tag tag) const;
  std::string where(Tag tag) const {
    return fmt::format("{}, step {}", to_string(tag.collective), step());
  }
  [[noreturn]] void fail_silent(Tag tag) const;
  void cancel_receives() noexcept;

  MPI_Comm communicator_;
  uint32_t sequence_ = 0;
  std::string failure_;  // not empty: every collective throws it
  Unwinding unwinding_;
  // Of the exchange in progress; equal lengths.
  std::vector<MPI_Request> requests_;
  std::vector<Message> messages_;
  std::vector<MPI_Status> statuses_;
  std::vector<int> completed_;
};

void MpiGroup::exchange(Collective collective, const Pieces& pieces) {
  if (!failure_.empty()) throw Error(ErrorKind::kCommunication, failure_);
  sequence_ = (sequence_ + 1) % Tag::kSequences;
  const Tag tag{collective, sequence_};
  try {
    post(pieces, tag);
    complete(tag);
  } catch (const Error& error) {
    failure_ = error.what();
    cancel_receives();
    throw;
  }
}

// Receives first, so that messages find their buffers. Any tag is taken: a rank that is elsewhere
// shows where, instead of leaving this one to wait.
void MpiGroup::post(const Pieces& pieces, Tag tag) {
  requests_.clear();
  messages_.clear();
  const auto add = [&](int peer, size_t bytes, bool incoming) {
    messages_.push_back({peer, bytes, incoming});
    return &requests_.emplace_back(MPI_REQUEST_NULL);
  };
  for (int peer = 0; peer < size(); ++peer)
    for (auto rest = pieces.incoming[peer]; !rest.empty();) {
      const auto part = rest.first(std::min(rest.size(), kMessageBytes));
      check_mpi(MPI_Irecv(part.data(), static_cast<int>(part.size()), MPI_BYTE, peer, MPI_ANY_TAG,
                          communicator_, add(peer, part.size(), true)),
                "MPI_Irecv");
      rest = rest.subspan(part.size());
    }
  for (int peer = 0; peer < size(); ++peer)
    for (auto rest = pieces.outgoing[peer]; !rest.empty();) {
      const auto part = rest.first(std::min(rest.size(), kMessageBytes));
      check_mpi(MPI_Isend(part.data(), static_cast<int>(part.size()), MPI_BYTE, peer, tag.encode(),
                          communicator_, add(peer, part.size(), false)),
                "MPI_Isend");
      rest = rest.subspan(part.size());
    }
}

// MPI's own waiting would never notice a rank that is stopped or cut off.
void MpiGroup::complete(Tag tag) {
  const auto end = Clock::now() + deadline();
  const int count = static_cast<int>(requests_.size());
  statuses_.resize(requests_.size());
  completed_.resize(requests_.size());
  Backoff backoff;
  for (int pending = count; pending > 0;) {
    int done = 0;
    const int code =
        MPI_Testsome(count, requests_.data(), &done, completed_.data(), statuses_.data());
    if (code != MPI_ERR_IN_STATUS) check_mpi(code, "MPI_Testsome");
    for (int index = 0; index < done; ++index) {
      const MPI_Status& status = statuses_[index];
      check(messages_[completed_[index]], code == MPI_SUCCESS ? MPI_SUCCESS : status.MPI_ERROR,
            status, tag);
    }
    pending -= done;
    if (done > 0) continue;
    if (backoff.should_read_clock() && Clock::now() > end) fail_silent(tag);
    backoff.pause();
  }
}

void MpiGroup::check(const Message& message, int code, const MPI_Status& status, Tag tag) const {
  int error_class = MPI_SUCCESS;
  if (code != MPI_SUCCESS) MPI_Error_class(code, &error_class);
  const bool truncated = error_class == MPI_ERR_TRUNCATE;  // the size check below says more
  if (code != MPI_SUCCESS && !truncated)
    fail(ErrorKind::kCommunication, "{}: message {} rank {} failed: {}", where(tag),
         message.incoming ? "from" : "to", message.peer, mpi_error_text(code));
  if (!message.incoming) return;
  const Tag found = Tag::decode(status.MPI_TAG);
  if (found != tag) {
    if (found.collective == Collective::kLeave)
      fail(ErrorKind::kCommunication, "rank {} left the run before {}", message.peer, where(tag));
    fail(ErrorKind::kCommunication, "{}: collective {} ({}) of rank {} expected, found {} ({})",
         where(tag), tag.sequence, to_string(tag.collective), message.peer, found.sequence,
         to_string(found.collective));
  }
  MPI_Count bytes = 0;
  MPI_Get_elements_x(&status, MPI_BYTE, &bytes);
  if (truncated || bytes != static_cast<MPI_Count>(message.bytes))
    fail(ErrorKind::kCommunication, "{}: {} bytes of rank {} expected, found {}", where(tag),
         message.bytes, message.peer, bytes);
}

void MpiGroup::fail_silent(Tag tag) const {
  std::vector<int> silent;
  for (int peer = 0; peer < size(); ++peer) {
    bool waiting = false;
    for (size_t index = 0; index < requests_.size(); ++index)
      waiting |= requests_[index] != MPI_REQUEST_NULL && messages_[index].peer == peer;
    if (waiting) silent.push_back(peer);
  }
  fail(ErrorKind::kCommunication, "no answer from {} within {} ms in {}", name_ranks(silent),
       deadline().count(), where(tag));
}

// A late message must not land in a buffer that its owner has freed by then.
void MpiGroup::cancel_receives() noexcept {
  for (size_t index = 0; index < requests_.size(); ++index)
    if (messages_[index].incoming && requests_[index] != MPI_REQUEST_NULL)
      MPI_Cancel(&requests_[index]);
}

void MpiGroup::abort(std::string_view reason, int exit_code) noexcept {
  say(rank(), size(), reason);
  guard_parent_daemon();
  const Watchdog watchdog(kAbortLimit, [exit_code] { ::_exit(exit_code); });
  MPI_Abort(communicator_, exit_code);
  ::_exit(exit_code);
}

MpiGroup::~MpiGroup() {
  if (unwinding_) return;
  try {
    // So that no rank is missing where MPI_Finalize would wait for it, and others learn who is.
    meet(Collective::kLeave);
    const Watchdog watchdog(deadline(), [this] { end_without_mpi(rank(), "end", deadline()); });
    MPI_Comm_free(&communicator_);
    MPI_Finalize();
  } catch (const std::exception& error) {
    abort(error.what(), exit_code(ErrorKind::kCommunication));
  }
}

}  // namespace

std::unique_ptr<Group> make_mpi_group(const GroupOptions& options) {
  int initialized = 0;
  MPI_Initialized(&initialized);
  if (initialized != 0)
    fail(ErrorKind::kUsage, "an MPI group was made in this process before: one is possible");
  const auto limit = std::max(options.deadline, kLeastStartLimit);
  const Watchdog watchdog(limit, [=] { end_without_mpi(mpi_rank(), "start", limit); });
  int provided = 0;
  check_mpi(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided), "MPI_Init_thread");
  if (provided < MPI_THREAD_FUNNELED)
    fail(ErrorKind::kCommunication, "MPI: thread level {} expected, found {}", MPI_THREAD_FUNNELED,
         provided);
  MPI_Comm communicator = MPI_COMM_NULL;
  int rank = 0;
  int size = 0;
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  check_mpi(MPI_Comm_dup(MPI_COMM_WORLD, &communicator), "MPI_Comm_dup");
  check_mpi(MPI_Comm_rank(communicator, &rank), "MPI_Comm_rank");
  check_mpi(MPI_Comm_size(communicator, &size), "MPI_Comm_size");
  return std::make_unique<MpiGroup>(communicator, rank, size, options);
}

}  // namespace strake
