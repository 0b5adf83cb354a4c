// How long a rank spends in collectives.
#pragma once

#include <chrono>
#include <cstdint>

#include "strake/comm/group.h"

namespace strake {

// Another group, whose collectives it counts and times; waiting for slower ranks is part of that.
class TimedGroup final : public Group {
 public:
  explicit TimedGroup(Group& inner) : inner_(inner) {}

  int64_t calls() const { return calls_; }
  double seconds() const { return std::chrono::duration<double>(spent_).count(); }

  int rank() const override { return inner_.rank(); }
  int size() const override { return inner_.size(); }
  void all_gather(std::span<const std::byte> mine, std::span<std::byte> all,
                  std::span<const int64_t> counts) override;
  bool gather_sum(std::span<const std::span<const std::byte>> mine, std::span<std::byte> sums,
                  std::span<const int> pieces, std::span<const Merge> merges) override;
  void all_to_all(std::span<const std::byte> send, std::span<const int64_t> send_counts,
                  std::span<std::byte> receive, std::span<const int64_t> receive_counts) override;
  void broadcast(std::span<std::byte> bytes, int root) override;
  void barrier() override;
  void check_step(uint64_t fingerprint) override;
  void await(const std::function<bool()>& done) override { inner_.await(done); }
  std::chrono::milliseconds deadline() const override { return inner_.deadline(); }
  void set_deadline(std::chrono::milliseconds deadline) override { inner_.set_deadline(deadline); }
  void abort(std::string_view reason, int exit_code) noexcept override {
    inner_.abort(reason, exit_code);
  }

 private:
  using Clock = std::chrono::steady_clock;
  template <class Collective>
  void time(const Collective& collective);

  Group& inner_;
  int64_t calls_ = 0;
  Clock::duration spent_{};
};

}  // namespace strake
