#include "weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <random>
#include <sstream>

#include "strake/base/half.h"

namespace strake {
namespace {

constexpr int64_t kPattern = int64_t{1} << 20;  // elements

Tensor random_codes() {
  std::mt19937_64 random(1);
  Tensor codes = Tensor::empty(DType::kU32, {kPattern});
  for (uint32_t& word : codes.mutable_data<uint32_t>()) word = static_cast<uint32_t>(random());
  return codes;
}

Tensor random_values() {
  std::mt19937_64 random(2);
  Tensor values = Tensor::empty(DType::kBF16, {kPattern});
  for (Bf16& value : values.mutable_data<Bf16>())
    value = to_bf16(static_cast<float>(random() >> 40) * 0x1p-23f - 1);
  return values;
}

// e4m3 has a code that is no number: its elements stay below 2.
Tensor without_nan(const Tensor& codes) {
  Tensor masked = Tensor::empty(DType::kU32, codes.shape());
  std::ranges::transform(codes.data<uint32_t>(), masked.mutable_data<uint32_t>().begin(),
                         [](uint32_t word) { return word & 0xbfbfbfbfu; });
  return masked;
}

template <class T>
Tensor constant(const Shape& shape, T value) {
  return Tensor::from<T>(std::vector<T>(static_cast<size_t>(shape.elements()), value), shape);
}

}  // namespace

std::vector<std::optional<Format>> parse_formats(const std::vector<std::string>& names) {
  std::vector<std::optional<Format>> formats;
  for (const std::string& name : names) {
    if (name == "all") {
      formats.assign(Format::all().begin(), Format::all().end());
      continue;
    }
    if (name == "bf16") {
      formats.push_back(std::nullopt);
      continue;
    }
    std::istringstream words(name);
    std::string mode, bits, group;
    std::getline(words, mode, ':');
    std::getline(words, bits, ':');
    std::getline(words, group, ':');
    const auto number = [](const std::string& word) {
      return word.empty() ? std::nullopt : std::optional(std::stoi(word));
    };
    formats.push_back(Format::parse(mode, number(bits), number(group)));
  }
  return formats;
}

std::string name_of(const std::optional<Format>& format) {
  if (!format) return "bf16";
  return fmt::format("{}:{}:{}", format->mode_name(), format->bits(), format->group_size());
}

RandomWeights::RandomWeights(const Place& place)
    : place_(place), codes_(random_codes()), values_(random_values()) {}

// What is there is doubled until all of it is.
Tensor RandomWeights::repeated(const Tensor& pattern, const Shape& shape) const {
  Tensor result = Tensor::empty(pattern.dtype(), shape, place_);
  Tensor flat = result.reshape({result.elements()});
  const int64_t count = flat.elements();
  int64_t done = std::min(count, pattern.elements());
  flat.assign(0, 0, pattern.slice(0, 0, done).at(place_));
  while (done < count) {
    const int64_t more = std::min(done, count - done);
    flat.assign(0, done, flat.slice(0, 0, more));
    done += more;
  }
  return result;
}

Tensor RandomWeights::bf16(const Shape& shape) const { return repeated(values_, shape); }

Weight RandomWeights::make(const std::optional<Format>& format, const Shape& shape) const {
  if (!format) return bf16(shape);
  const Shape groups = shape.with(-1, shape[-1] / format->group_size());
  const Shape words = shape.with(-1, format->words(shape[-1]));
  const Tensor& codes = codes_;
  QuantizedParts parts{
      repeated(format->mode() == Mode::kMxfp8 ? without_nan(codes) : codes, words),
      repeated(format->has_biases()
                   ? constant(Shape{kPattern}, to_bf16(0x1p-6f))
                   : constant<uint8_t>(Shape{kPattern}, format->mode() == Mode::kNvfp4 ? 8 : 121),
               groups)};
  if (format->has_biases()) parts.biases = bf16(groups);
  return QuantizedMatrix::make("random", *format, std::move(parts));
}

ColdWeights::ColdWeights(Backend& backend, const std::optional<Format>& format, const Shape& shape,
                         const PartialSums& sums) {
  const RandomWeights random(backend.place());
  do {
    Weight weight = random.make(format, shape);
    bytes_ = weight.nbytes();
    weights_.push_back(backend.prepare(std::move(weight), sums));
  } while (bytes_ * count() < kColdBytes || count() < 2);
}

namespace {

constexpr int kRoot[] = {0};

}  // namespace

ColdWeights::ColdWeights(Backend& backend, const std::optional<Format>& format, const Shape& shape)
    : ColdWeights(backend, format, shape, PartialSums{SumTree::whole(shape[-1]), kRoot}) {}

}  // namespace strake
