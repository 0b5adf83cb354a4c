// How quantized codes become numbers.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace strake {

enum class Mode : uint8_t { kAffine, kMxfp4, kMxfp8, kNvfp4 };

// One of the legal combinations of mode, bits and group size. There is no default format and no
// way to change one: a value that exists is legal.
//
//   affine  2 3 4 5 6 8 bits, groups of 32 64 128   value = scale * code + bias
//   mxfp4   e2m1, e8m0 scale, groups of 32          (OCP Microscaling 1.0)
//   mxfp8   e4m3, e8m0 scale, groups of 32          (OCP Microscaling 1.0)
//   nvfp4   e2m1, e4m3 scale, groups of 16          (optionally times a float32 of the tensor)
class Format {
 public:
  Format(const Format&) = default;
  // Not to what a function returns: matrix.format() = other would change nothing.
  Format& operator=(const Format&) & = default;

  // By MLX's names. A missing number takes the mode's default (affine 4 bits in groups of 64).
  // Throws Error(kUsage) that lists what is legal.
  static Format parse(std::string_view mode, std::optional<int> bits = std::nullopt,
                      std::optional<int> group_size = std::nullopt);
  static std::span<const Format> all();

  Mode mode() const;
  std::string_view mode_name() const;
  int bits() const;
  int group_size() const;
  // Whether each group has an offset beside its scale (affine).
  bool has_biases() const;
  // uint32 words that `elements` take in a row; elements must be whole groups.
  int64_t words(int64_t elements) const { return elements * bits() / 32; }
  std::string to_string() const;  // "mxfp8 (8 bits, groups of 32)"

  // Position in all(); what visit_format() dispatches on.
  int index() const { return index_; }

  friend bool operator==(Format, Format) = default;

 private:
  explicit constexpr Format(int index) : index_(static_cast<uint8_t>(index)) {}
  uint8_t index_;
};

}  // namespace strake
