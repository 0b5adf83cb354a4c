// The ranks that run one model together, and what they exchange.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

namespace strake {

// A step of a sum whose pieces ranks hold: piece `into` becomes piece `into` + piece `from`. Pieces
// are numbered over all ranks, in rank order.
struct Merge {
  int into;
  int from;
};

struct GroupOptions {
  std::chrono::milliseconds deadline{30'000};  // for every collective
};

// A collective is called by every rank of the group, in the same order with the same sizes, from
// one thread. One that cannot finish (a rank silent past the deadline, in another collective, with
// another size, or gone) throws Error(kCommunication) that names ranks, collective and step; every
// later collective of the group then throws at once. A group of one is the identity.
class Group {
 public:
  explicit Group(const GroupOptions& options = {}) : deadline_(options.deadline) {}
  virtual ~Group() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;

  // Joins the ranks' bytes in rank order: `counts[r]` bytes of rank r, known to all. `mine` has
  // counts[rank()] bytes, `all` their sum; `mine` may lie at its own place in `all`.
  virtual void all_gather(std::span<const std::byte> mine, std::span<std::byte> all,
                          std::span<const int64_t> counts) = 0;

  // Joins pieces of a sum and adds them up, in one: `mine` are pieces[rank()] float32 arrays of the
  // length of `sums`; on return, `sums` has what the last of `merges` makes, which are done in
  // order, element by element. False on every rank, and nothing done, where the group has no better
  // way than to gather the pieces.
  virtual bool gather_sum(std::span<const std::span<const std::byte>> mine,
                          std::span<std::byte> sums, std::span<const int> pieces,
                          std::span<const Merge> merges);

  // Rank r receives everyone's piece for r: `send` is cut by send_counts (a piece for each rank),
  // `receive` by receive_counts (a piece from each rank).
  virtual void all_to_all(std::span<const std::byte> send, std::span<const int64_t> send_counts,
                          std::span<std::byte> receive,
                          std::span<const int64_t> receive_counts) = 0;

  // The bytes of rank `root`, on every rank. The root does not wait for the others to receive.
  virtual void broadcast(std::span<std::byte> bytes, int root) = 0;

  // Returns when every rank has called it.
  virtual void barrier() = 0;

  // Called by each rank before each step of the engine: throws Error(kCommunication) that names
  // the ranks whose step number or fingerprint differs from rank 0's. `fingerprint` is a hash of
  // what the step is about to do (tokens, positions, plan).
  virtual void check_step(uint64_t fingerprint);

  // Returns when `done` is true: what collectives have left to a device. Where that takes longer
  // than the deadline, throws Error(kCommunication) that names the ranks that are silent, too, or
  // Error(kSystem) where there is no other.
  virtual void await(const std::function<bool()>& done);

  // Of every collective. All ranks change it together.
  virtual std::chrono::milliseconds deadline() const { return deadline_; }
  virtual void set_deadline(std::chrono::milliseconds deadline) { deadline_ = deadline; }

  // Ends the run on every rank because this one failed: the others' pending and later collectives
  // throw (threads) or their processes are ended (MPI) with a message that names this rank and
  // `reason`. Called where the failure is handled, while the group lives; on MPI it does not
  // return, and mpirun's own exit code becomes `exit_code`.
  virtual void abort(std::string_view reason, int exit_code) noexcept = 0;

 protected:
  // How often check_step was called: what messages call the step.
  uint64_t step() const { return step_; }

 private:
  // What a rank is about to do.
  struct Mark {
    uint64_t step;
    uint64_t fingerprint;
    bool operator==(const Mark&) const = default;
  };

  std::chrono::milliseconds deadline_;
  uint64_t step_ = 0;
  // [rank], kept between steps for their memory.
  std::vector<Mark> marks_;
  std::vector<int64_t> mark_bytes_;
};

// One rank.
std::unique_ptr<Group> make_solo_group(const GroupOptions& options = {});

}  // namespace strake
