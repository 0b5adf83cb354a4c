// Small tables that kernels read again and again.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <span>
#include <string>

#include "strake/tensor/tensor.h"

namespace strake::cuda {

// Keeps one copy on the device of each content that it is asked for. For what belongs to a model
// or a cache, not to a step.
class Constants {
 public:
  explicit Constants(Place place) : place_(std::move(place)) {}

  // The device's address of a copy of the host's bytes.
  const void* find(std::span<const std::byte> bytes);

  template <class T>
  const T* find(std::span<const T> values) {
    return static_cast<const T*>(find(std::as_bytes(values)));
  }
  template <class T>
  const T* find_value(const T& value) {
    return find(std::span<const T>(&value, 1));
  }

  // 0, 1, 2, ... from `first` on: a position as kernels expect it.
  const int32_t* position(int64_t first);

 private:
  Place place_;
  std::map<std::string, Tensor, std::less<>> copies_;
  std::optional<Tensor> positions_;
};

}  // namespace strake::cuda
