// Memory that is not the host's, and what can be done with bytes there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "strake/tensor/device.h"
#include "strake/tensor/dtype.h"

namespace strake {

// Rows of bytes, evenly apart, from one array to another.
struct RowsToCopy {
  const std::byte* from;
  int64_t from_stride;
  std::byte* to;
  int64_t to_stride;
  int64_t row_bytes;
  int64_t rows;
};

// Returns when `done` is true, or throws.
using Await = std::function<void(const std::function<bool()>& done)>;

// A device's memory. Work there is queued in order: what a call asks for need not have happened
// when it returns, but has for all that is asked later. Backends supply it.
class Memory {
 public:
  virtual ~Memory() = default;

  virtual Device device() const = 0;
  // Aligned to 64 at least. Throws Error(kSystem) when memory is short.
  virtual std::byte* take(int64_t bytes) = 0;
  virtual void give(std::byte* data, int64_t bytes) noexcept = 0;

  virtual void clear(std::byte* data, int64_t bytes) = 0;
  virtual void copy_rows(const RowsToCopy& rows) = 0;
  // Floating elements, rounded to nearest even.
  virtual void convert(const std::byte* from, DType from_dtype, std::byte* to, DType to_dtype,
                       int64_t elements) = 0;
  // How the host waits for the device where a caller does not say: when it uploads, or memory is
  // short. Without it, for ever.
  virtual void set_await(Await await) = 0;
  // From the host, which may overwrite `from` on return.
  virtual void upload(std::span<const std::byte> from, std::byte* to) = 0;
  // To the host, and there on return.
  virtual void download(const std::byte* from, std::span<std::byte> to, const Await& await) = 0;
};

// Where a tensor is to lie: the host, nowhere, or a device's memory.
struct Place {
  Device device;
  std::shared_ptr<Memory> memory = nullptr;

  Place(Device on) : device(on) {}  // NOLINT: the host or nowhere
  Place(std::shared_ptr<Memory> in) : device(in->device()), memory(std::move(in)) {}  // NOLINT
};

}  // namespace strake
