#include "comm/cuda/exchanges.h"

#include <cuda_runtime.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <random>
#include <vector>

#include "base/fail.h"
#include "comm/nccl_group.h"
#include "strake/nn/reduction.h"
#include "support/bits.h"
#include "support/weights.h"
#include "tests/ops/cuda/device_memory.h"

namespace strake {
namespace {

using cuda::DeviceBytes;
using Bytes = std::vector<uint8_t>;

struct Groups {
  explicit Groups(Group& control)
      : direct(make_nccl_group(control)), nccl(make_nccl_group(control, ShortMessages::kNccl)) {}
  const std::unique_ptr<Group> direct, nccl;
};

void select_gpu(const Group& control) {
  cuda::check(cudaSetDevice(control.rank()), "selecting a GPU");
}

bool is_idle() { return cudaStreamQuery(cudaStreamPerThread) != cudaErrorNotReady; }

std::span<std::byte> bytes_at(const DeviceBytes& memory, int64_t begin, int64_t count) {
  return {memory.data<std::byte>() + begin, static_cast<size_t>(count)};
}

void set(std::span<std::byte> to, const Bytes& from) {
  if (!to.empty())
    cuda::check(cudaMemcpy(to.data(), from.data(), to.size(), cudaMemcpyHostToDevice), "a copy");
}

Bytes random_bytes(uint64_t seed, int64_t count) {
  std::mt19937_64 random(seed);
  Bytes bytes(static_cast<size_t>(count));
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
  return bytes;
}

// Pieces [begin, end) along a tree of halves; what has their sum then.
int add_merges(int begin, int end, std::vector<Merge>& merges) {
  if (end - begin == 1) return begin;
  const int middle = (begin + end) / 2;
  const int into = add_merges(begin, middle, merges), from = add_merges(middle, end, merges);
  merges.push_back({into, from});
  return into;
}

}  // namespace

void check_gathers(Group& control) {
  constexpr int64_t kRoom = 1 << 20;
  const int ranks = control.size(), rank = control.rank();
  select_gpu(control);
  const Groups groups(control);
  DeviceBytes mine(kRoom), direct(kRoom), by_nccl(kRoom);
  // Bytes of even and of odd ranks; the last are too long.
  const std::pair<int64_t, int64_t> sizes[] = {
      {8, 8},      {1, 1},         {7, 13},        {0, 24},        {3, 0},       {8192, 8192},
      {4096, 100}, {16380, 16380}, {32768, 32768}, {65001, 65001}, {262144, 77}, {300'000, 16}};
  control.barrier();  // GPUs wait for each other from here on: nobody asks for memory
  uint64_t round = 0;
  for (const auto& [even, odd] : sizes)
    for (const int64_t shift : {0, 3, 4}) {
      ++round;
      std::vector<int64_t> counts;
      Bytes expected;
      int64_t before = 0;
      for (int r = 0; r < ranks; ++r) {
        if (r == rank) before = std::ssize(expected);
        counts.push_back(r % 2 == 0 ? even : odd);
        const Bytes part = random_bytes(round * 100 + static_cast<uint64_t>(r), counts.back());
        expected.insert(expected.end(), part.begin(), part.end());
      }
      const int64_t count = counts[static_cast<size_t>(rank)], total = std::ssize(expected);
      const auto part = bytes_at(mine, shift, count);
      set(part, random_bytes(round * 100 + static_cast<uint64_t>(rank), count));
      direct.fill(0xee);
      by_nccl.fill(0xee);
      // In place where the memory is not aligned.
      const auto own = bytes_at(direct, shift + before, count);
      if (shift != 0) set(own, random_bytes(round * 100 + static_cast<uint64_t>(rank), count));
      groups.direct->all_gather(shift != 0 ? own : part, bytes_at(direct, shift, total), counts);
      groups.nccl->all_gather(part, bytes_at(by_nccl, shift, total), counts);
      groups.direct->await(is_idle);
      const Bytes found = direct.get<uint8_t>();
      if (found != by_nccl.get<uint8_t>() ||
          std::memcmp(found.data() + shift, expected.data(), expected.size()) != 0)
        fail(ErrorKind::kInternal, "all_gather: wrong bytes of {} and {} at {}", even, odd, shift);
    }
}

void check_sums(Group& control) {
  constexpr int64_t kRoom = 1 << 20;
  const int ranks = control.size(), rank = control.rank();
  select_gpu(control);
  const Groups groups(control);
  DeviceBytes mine(kRoom), sums(kRoom);
  control.barrier();  // GPUs wait for each other from here on: nobody asks for memory
  uint64_t round = 0;
  // Of even and of odd ranks.
  const std::pair<int, int> counts[] = {{1, 1}, {2, 1}, {0, 2}, {1, 3}, {8, 8}};
  for (const auto& [even, odd] : counts)
    for (const int64_t elements : {1, 2, 7, 63, 2048, 4096, 4097}) {
      ++round;
      std::vector<int> pieces;
      std::vector<std::vector<float>> values;
      std::vector<float> own;
      for (int r = 0; r < ranks; ++r) {
        pieces.push_back(r % 2 == 0 ? even : odd);
        for (int piece = 0; piece < pieces.back(); ++piece) {
          const Tensor x = random_weight(round * 100 + values.size(), {elements});
          values.emplace_back(x.data<float>().begin(), x.data<float>().end());
          if (r == rank) own.insert(own.end(), values.back().begin(), values.back().end());
        }
      }
      std::vector<Merge> merges;
      const int root = add_merges(0, static_cast<int>(values.size()), merges);
      const auto part = bytes_at(mine, 0, std::ssize(own) * 4);
      if (!own.empty())
        cuda::check(cudaMemcpy(part.data(), own.data(), part.size(), cudaMemcpyHostToDevice),
                    "a copy");
      sums.fill(0xee);
      const bool too_many = std::ssize(values) > 16;
      std::vector<std::span<const std::byte>> parts;
      for (int64_t at = 0; at < std::ssize(part); at += elements * 4)
        parts.push_back(part.subspan(static_cast<size_t>(at), static_cast<size_t>(elements) * 4));
      if (groups.direct->gather_sum(parts, bytes_at(sums, 0, elements * 4), pieces, merges) ==
          too_many)
        fail(ErrorKind::kInternal, "gather_sum of {} pieces: {}", values.size(),
             too_many ? "it is done" : "it is not done");
      groups.direct->await(is_idle);
      if (too_many) continue;
      for (const Merge& merge : merges)
        for (size_t i = 0; i < static_cast<size_t>(elements); ++i)
          values[static_cast<size_t>(merge.into)][i] += values[static_cast<size_t>(merge.from)][i];
      const std::vector<float> found = sums.get<float>();
      if (std::memcmp(found.data(), values[static_cast<size_t>(root)].data(),
                      static_cast<size_t>(elements) * 4) != 0)
        fail(ErrorKind::kInternal, "gather_sum: wrong bits of {} pieces of {}", values.size(),
             elements);
      if (sums.get<uint8_t>()[static_cast<size_t>(elements) * 4] != 0xee)
        fail(ErrorKind::kInternal, "gather_sum: more than {} elements written", elements);
    }
}

void check_replays(Group& control) {
  constexpr int kRounds = 300, kRunsBefore = 10;
  const int ranks = control.size(), rank = control.rank();
  const auto backend = make_backend("cuda", {.index = rank});
  const Groups groups(control);
  Context direct{*backend, *groups.direct, DType::kF32};
  Context by_nccl{*backend, *groups.nccl, DType::kF32};
  const Dimension inputs = Dimension("inputs", 4096, 32).with_parts(16);
  std::vector<Reduction> reductions;
  std::vector<int64_t> weights(static_cast<size_t>(ranks), 3);
  weights[0] = 5;
  for (const Shares& shares : {Shares::equal(ranks), Shares::weighted(weights)})
    reductions.emplace_back(inputs, Partition::divide(inputs, shares));
  const Shape shapes[] = {{1, 2048}, {1, 4095}, {3, 1000}};
  // Partial sums of each reduction in each shape, and the sums of each.
  std::vector<Tensor> partials;
  const auto fresh = [&](uint64_t seed, const Reduction& reduction, const Shape& shape) {
    return random_weight(seed * 8 + static_cast<uint64_t>(rank),
                         {std::ssize(reduction.part(rank).nodes), shape[0], shape[1]});
  };
  for (const Reduction& reduction : reductions)
    for (const Shape& shape : shapes)
      partials.push_back(fresh(1, reduction, shape).at(backend->place()));
  const auto queue = [&](Context& context) {
    std::vector<Tensor> sums;
    for (size_t i = 0; i < partials.size(); ++i)
      sums.push_back(reductions[i / std::size(shapes)].finish(context, partials[i]));
    return sums;
  };
  std::vector<Tensor> found = queue(direct);
  const auto recording = backend->record([&] { found = queue(direct); });
  if (recording == nullptr) fail(ErrorKind::kInternal, "exchanges were not recorded");
  for (uint64_t round = 0; round < kRounds; ++round) {
    for (size_t i = 0; i < partials.size(); ++i)
      backend->place().memory->upload(
          fresh(round * 16 + i, reductions[i / std::size(shapes)], shapes[i % std::size(shapes)])
              .bytes(),
          partials[i].mutable_bytes().data());
    if (round == 7 && rank == 1) ::usleep(300'000);
    for (int run = 0; run <= kRunsBefore; ++run) recording->run();
    const std::vector<Tensor> expected = queue(by_nccl);
    for (size_t i = 0; i < partials.size(); ++i)
      if (!same_bits(direct.on_host(found[i]), by_nccl.on_host(expected[i])))
        fail(ErrorKind::kInternal, "recorded exchanges: wrong bits of sum {} in round {}", i,
             round);
  }
}

std::string exchange_alone(Group& control) {
  const auto backend = make_backend("cuda", {.index = control.rank()});
  if (control.rank() != 0) {
    const auto group = make_nccl_group(control);
    group->check_step(0);
    ::pause();  // until rank 0 ends the run
    return {};
  }
  const auto group = make_nccl_group(control);
  const Tensor mine = Tensor::zeros(DType::kU8, {8192}, backend->place());
  Tensor all = Tensor::zeros(DType::kU8, {8192 * control.size()}, backend->place());
  const std::vector<int64_t> counts(static_cast<size_t>(control.size()), 8192);
  const auto recording = backend->record([&] {
    for (int i = 0; i < 100; ++i) group->all_gather(mine.bytes(), all.mutable_bytes(), counts);
  });
  if (recording == nullptr) fail(ErrorKind::kInternal, "exchanges were not recorded");
  group->check_step(0);
  std::string said;
  const auto note = [&](const auto& call) {
    try {
      call();
      said += "nothing\n";
    } catch (const Error& error) {
      said += fmt::format("{}\n", error.what());
    }
  };
  note([&] {
    recording->run();
    group->await(is_idle);
  });
  note([&] { group->all_gather(mine.bytes(), all.mutable_bytes(), counts); });
  return said;
}

}  // namespace strake
