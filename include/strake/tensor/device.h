// Where a tensor's bytes lie.
#pragma once

#include <cstdint>
#include <string>

namespace strake {

enum class DeviceKind : uint8_t {
  kCpu,
  kMeta,  // nowhere: a tensor with a dtype and a shape but no bytes, for planning
  kCuda,  // an NVIDIA GPU
};

struct Device {
  DeviceKind kind;
  int index = 0;

  static constexpr Device cpu() { return {DeviceKind::kCpu, 0}; }
  static constexpr Device meta() { return {DeviceKind::kMeta, 0}; }
  static constexpr Device cuda(int index) { return {DeviceKind::kCuda, index}; }
  friend bool operator==(const Device&, const Device&) = default;
};

std::string to_string(Device device);  // "cpu", "meta", "cuda:0"

}  // namespace strake
