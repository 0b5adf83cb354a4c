#include "ops/cuda/constants.h"

#include <algorithm>
#include <numeric>
#include <string_view>
#include <vector>

namespace strake::cuda {

const void* Constants::find(std::span<const std::byte> bytes) {
  const std::string_view content(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const auto found = copies_.find(content);
  if (found != copies_.end()) return found->second.bytes().data();
  const auto* const values = reinterpret_cast<const uint8_t*>(bytes.data());
  const Tensor host =
      Tensor::from<uint8_t>(std::span(values, bytes.size()), {static_cast<int64_t>(bytes.size())});
  return copies_.emplace(content, host.at(place_)).first->second.bytes().data();
}

const int32_t* Constants::position(int64_t first) {
  if (!positions_ || positions_->elements() <= first) {
    constexpr int64_t kLeast = 1 << 16;
    std::vector<int32_t> all(static_cast<size_t>(std::max(kLeast, 2 * first)));
    std::iota(all.begin(), all.end(), 0);
    positions_ = Tensor::from<int32_t>(all, {static_cast<int64_t>(all.size())}).at(place_);
  }
  return reinterpret_cast<const int32_t*>(positions_->bytes().data()) + first;
}

}  // namespace strake::cuda
