#include "io/read_ahead.h"

#include <algorithm>
#include <exception>
#include <utility>

namespace strake {
namespace {

constexpr int64_t kLeastHeld = int64_t{16} << 20;
constexpr int64_t kHeldPart = 32;
// Enough for a disk to stay busy; pages that are fetched too early could be thrown out again where
// memory is short.
constexpr int64_t kAnnounced = int64_t{128} << 20;
constexpr int64_t kAtOnce = int64_t{8} << 20;
// Twice what a kernel reads ahead at most: the piece that it reads and the one after.
constexpr int64_t kReadAhead = int64_t{32} << 20;

int64_t total_bytes(const std::vector<ExpectedRead>& reads) {
  int64_t bytes = 0;
  for (const ExpectedRead& read : reads) bytes += read.runs.total();
  return bytes;
}

}  // namespace

int64_t bytes_in_passing(int64_t total) { return std::max(kLeastHeld, total / kHeldPart); }

ReadAhead::ReadAhead(const SafetensorsDirectory& weights, std::vector<ExpectedRead> reads)
    : weights_(weights),
      reads_(std::move(reads)),
      most_held_(bytes_in_passing(total_bytes(reads_))),
      thread_([this](const std::stop_token& stop) { run(stop); }) {}

std::optional<Tensor> ReadAhead::take(const ExpectedRead& read) {
  std::unique_lock lock(mutex_);
  const auto from = reads_.begin() + static_cast<std::ptrdiff_t>(taken_);
  const auto found = std::find(from, reads_.end(), read);
  if (found == reads_.end()) return std::nullopt;
  const auto wanted = static_cast<size_t>(found - reads_.begin());
  while (!held_.empty() && held_.begin()->first < wanted) {
    held_bytes_ -= held_.begin()->second.nbytes();
    held_.erase(held_.begin());
  }
  taken_ = wanted;
  changed_.notify_all();
  changed_.wait(lock, [&] { return read_ > wanted || ended_; });
  std::optional<Tensor> tensor;
  if (auto held = held_.extract(wanted)) {
    tensor = std::move(held.mapped());
    held_bytes_ -= tensor->nbytes();
  }
  taken_ = wanted + 1;
  changed_.notify_all();
  return tensor;
}

void ReadAhead::run(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  try {
    while (read_ < reads_.size()) {
      const size_t current = read_;
      const int64_t bytes = reads_[current].runs.total();
      const auto may_read = [&] {
        return held_bytes_ == 0 || held_bytes_ + bytes <= most_held_ || current < taken_;
      };
      if (!changed_.wait(lock, stop, may_read)) break;
      const bool is_wanted = current >= taken_;
      if (is_wanted) held_bytes_ += bytes;
      lock.unlock();
      announce(current);
      std::optional<Tensor> tensor;
      if (is_wanted) tensor = read(reads_[current]);
      lock.lock();
      if (tensor && current >= taken_)
        held_.emplace(current, *std::move(tensor));
      else if (is_wanted)
        held_bytes_ -= bytes;
      ++read_;
      changed_.notify_all();
    }
  } catch (const std::exception&) {
    // Who asks for it reads it again, and hears what the matter is.
    if (!lock.owns_lock()) lock.lock();
  }
  ended_ = true;
  changed_.notify_all();
}

std::vector<ReadAhead::Extent> ReadAhead::extents_of(const SafetensorsFile& file) const {
  std::vector<Extent> extents;
  for (const auto& [tensor, runs, shape] : reads_)
    if (runs.count == 1 && &weights_.file_of(tensor) == &file)
      extents.push_back({runs.offset, runs.offset + runs.bytes});
  std::ranges::sort(extents, {}, &Extent::begin);
  std::vector<Extent> joined;
  for (const Extent& extent : extents)
    if (!joined.empty() && extent.begin <= joined.back().end)
      joined.back().end = std::max(joined.back().end, extent.end);
    else
      joined.push_back(extent);
  return joined;
}

bool ReadAhead::is_onward(const SafetensorsFile& file, const ByteRuns& runs) {
  if (runs.count != 1) return false;
  auto found = extents_.find(&file);
  if (found == extents_.end()) found = extents_.emplace(&file, extents_of(file)).first;
  const int64_t end = runs.offset + runs.bytes;
  const auto extent = std::ranges::lower_bound(found->second, end, {}, &Extent::end);
  return extent->end == file.size() || extent->end >= end + kReadAhead;
}

void ReadAhead::announce(size_t current) {
  for (; announced_ < reads_.size(); ++announced_) {
    const auto& [tensor, runs, shape] = reads_[announced_];
    if (announced_ > current && announced_bytes_ + runs.total() > kAnnounced) break;
    announced_bytes_ += runs.total();
    const SafetensorsFile& file = weights_.file_of(tensor);
    if (is_onward(file, runs)) continue;
    for (int64_t run = 0; run < runs.count; ++run)
      for (int64_t at = 0; at < runs.bytes; at += kAtOnce)
        file.will_read(runs.offset + run * runs.stride + at, std::min(kAtOnce, runs.bytes - at));
  }
  announced_bytes_ -= reads_[current].runs.total();
}

Tensor ReadAhead::read(const ExpectedRead& read) {
  const auto& [tensor, runs, shape] = read;
  const SafetensorsFile& file = weights_.file_of(tensor);
  if (!is_onward(file, runs)) return file.read(tensor, runs, shape);
  auto reader = onward_.find(&file);
  if (reader == onward_.end())
    reader = onward_.emplace(&file, FileReader(file.path(), ReadPattern::kOnward)).first;
  return file.read(tensor, runs, shape, reader->second);
}

}  // namespace strake
