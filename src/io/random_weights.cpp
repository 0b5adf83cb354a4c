#include "io/random_weights.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string_view>

#include "base/hash.h"
#include "quant/format_list.h"

namespace strake {
namespace {

// SplitMix64's output function (Steele, Lea and Flood, 2014).
constexpr uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

// Which bits of every 8 bytes are random, and which are set.
struct Bits {
  uint64_t random = ~uint64_t{0};
  uint64_t set = 0;
};

// An endless stream of random bytes that a name decides, read from any place.
class RandomBytes {
 public:
  RandomBytes(std::string_view name, Bits bits)
      : key_(mix(hash_values(std::span<const char>(name)))), bits_(bits) {}

  void read(int64_t offset, std::span<std::byte> out) const {
    auto index = static_cast<uint64_t>(offset) / sizeof(uint64_t);
    size_t skipped = static_cast<size_t>(offset) % sizeof(uint64_t);
    while (!out.empty()) {
      const uint64_t word = this->word(index++);
      const size_t count = std::min(out.size(), sizeof word - skipped);
      std::memcpy(out.data(), reinterpret_cast<const std::byte*>(&word) + skipped, count);
      out = out.subspan(count);
      skipped = 0;
    }
  }

 private:
  uint64_t word(uint64_t index) const {
    return (mix(key_ + index * 0x9e3779b97f4a7c15u) & bits_.random) | bits_.set;
  }

  uint64_t key_;
  Bits bits_;
};

// Shape, element type and place of a tensor's part.
struct Part {
  DType dtype;
  const Shape& whole;  // in stored elements
  const std::optional<Cut>& cut;

  Tensor empty(Device device) const {
    return Tensor::empty(dtype, shape_of_cut(whole, cut), device);
  }
};

Tensor random_tensor(const RandomBytes& random, const Part& part, Device device) {
  Tensor tensor = part.empty(device);
  if (device.kind == DeviceKind::kMeta) return tensor;
  const auto out = tensor.mutable_bytes();
  if (!part.cut) {
    random.read(0, out);
    return tensor;
  }
  const int axis = part.cut->axis < 0 ? part.cut->axis + part.whole.rank() : part.cut->axis;
  int64_t inner = size_of(part.dtype);  // bytes of one element of the axis
  for (int i = axis + 1; i < part.whole.rank(); ++i) inner *= part.whole[i];
  int64_t outer = 1;
  for (int i = 0; i < axis; ++i) outer *= part.whole[i];
  size_t at = 0;
  for (int64_t i = 0; i < outer; ++i)
    for (const Range range : part.cut->ranges) {
      const auto bytes = static_cast<size_t>(range.size() * inner);
      random.read((i * part.whole[axis] + range.begin) * inner, out.subspan(at, bytes));
      at += bytes;
    }
  return tensor;
}

template <class T>
Tensor filled(T value, const Part& part, Device device) {
  Tensor tensor = part.empty(device);
  if (device.kind != DeviceKind::kMeta) std::ranges::fill(tensor.mutable_data<T>(), value);
  return tensor;
}

double deviation(int64_t inputs) { return 1 / std::sqrt(static_cast<double>(inputs)); }

// Both signs, one power of two, any fraction: 1.53 times the power in root mean square.
Tensor random_dense(const std::string& name, const Part& part, Device device) {
  const auto exponent =
      static_cast<uint64_t>(127 + std::lround(std::log2(deviation(part.whole[-1]) / 1.53)));
  constexpr uint64_t kEach = 0x0001000100010001u;
  return random_tensor({name, {0x807f * kEach, (exponent << 7) * kEach}}, part, device);
}

// Root mean square of all codes around their middle.
template <class Element>
double spread(uint32_t random, float middle) {
  double sum = 0;
  int codes = 0;
  for (uint32_t code = 0; code < 1u << Element::kBits; ++code) {
    if ((code & random) != code) continue;
    sum += std::pow(Element::decode(code) - middle, 2);
    ++codes;
  }
  return std::sqrt(sum / codes);
}

// The nearest power of two.
uint8_t encode_scale(E8M0, double scale) {
  return static_cast<uint8_t>(127 + std::lround(std::log2(scale)));
}
uint8_t encode_scale(E4M3Scale, double scale) {
  return std::max<uint8_t>(1, E4M3::encode(static_cast<float>(scale)));
}

}  // namespace

RandomWeights::RandomWeights(ModelConfig config, Device device)
    : ModelSource(std::move(config), device) {}

std::optional<Format> RandomWeights::format(const std::string& module, int64_t inputs) {
  const auto& overrides = quantization().overrides();
  const auto override = overrides.find(module);
  const auto format = override != overrides.end() ? override->second : quantization().global();
  return format && inputs % format->group_size() == 0 ? format : std::nullopt;
}

Tensor RandomWeights::tensor(const std::string& name, const Shape& shape,
                             const std::optional<Cut>& cut) {
  const Part part{DType::kBF16, shape, cut};
  if (name.ends_with("bias")) return filled(to_bf16(0.0f), part, device());
  if (shape.rank() > 1) return random_dense(name, part, device());
  return filled(to_bf16(1.0f), part, device());
}

Weight RandomWeights::weight(const std::string& module, const Shape& shape,
                             const std::optional<Cut>& cut) {
  const auto format = this->format(module, shape[-1]);
  if (!format) return random_dense(module, {DType::kBF16, shape, cut}, device());
  const int64_t group = format->group_size();
  const bool packed = cut && (cut->axis == -1 || cut->axis == shape.rank() - 1);
  const int64_t logical = packed ? group : 1;
  const auto codes_cut = rescale(module, cut, logical, packed ? format->words(group) : 1);
  const auto scales_cut = rescale(module, cut, logical, 1);
  const Shape words = shape.with(-1, format->words(shape[-1]));
  const Shape groups = shape.with(-1, shape[-1] / group);
  return visit_format(*format, [&](auto spec) -> Weight {
    using Spec = decltype(spec);
    using Element = typename Spec::Element;
    // Of e4m3, which has codes that are no number elsewhere, those below 2.
    constexpr uint32_t kRandom = std::is_same_v<Element, E4M3> ? 0xbfu : 0xffu;
    const float middle = Spec::kHasBiases ? Element::decode((1u << Element::kBits) - 1) / 2 : 0.0f;
    const double scale = deviation(shape[-1]) / spread<Element>(kRandom, middle);
    const Part codes{DType::kU32, words, codes_cut};
    QuantizedParts parts{random_tensor({module, {kRandom * 0x0101010101010101u}}, codes, device()),
                         Tensor::empty(DType::kU8, {0}, device())};
    if constexpr (Spec::kHasBiases) {
      const Part scales{DType::kBF16, groups, scales_cut};
      const Bf16 rounded = to_bf16(static_cast<float>(scale));
      parts.scales = filled(rounded, scales, device());
      parts.biases = filled(to_bf16(-middle * to_float(rounded)), scales, device());
    } else {
      parts.scales = filled(encode_scale(typename Spec::Scale(), scale),
                            {DType::kU8, groups, scales_cut}, device());
    }
    return QuantizedMatrix::make(module, *format, std::move(parts));
  });
}

}  // namespace strake
