// The list of formats, and the one place where a run-time Format becomes a type.
#pragma once

#include <array>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include "quant/codecs.h"
#include "strake/quant/format.h"

namespace strake {

// A format as a type: what kernels are templates over.
template <Mode M, class ElementCodec, class ScaleCodec, int GroupSize>
struct FormatSpec {
  static constexpr Mode kMode = M;
  using Element = ElementCodec;
  using Scale = ScaleCodec;
  static constexpr int kBits = Element::kBits;
  static constexpr int kGroupSize = GroupSize;
  static constexpr bool kHasBiases = std::is_same_v<Scale, FloatScale>;
  static constexpr int kWordsPerGroup = kGroupSize * kBits / 32;
};

namespace detail {

template <int... Bits, int... GroupSizes>
auto affine_grid(std::integer_sequence<int, Bits...>, std::integer_sequence<int, GroupSizes...>) {
  const auto row = []<int B>(std::integral_constant<int, B>) {
    return std::tuple<FormatSpec<Mode::kAffine, UInt<B>, FloatScale, GroupSizes>...>();
  };
  return std::tuple_cat(row(std::integral_constant<int, Bits>())...);
}

template <class... Specs>
using Concat = decltype(std::tuple_cat(std::declval<Specs>()...));

}  // namespace detail

using FormatList =
    detail::Concat<decltype(detail::affine_grid(std::integer_sequence<int, 2, 3, 4, 5, 6, 8>(),
                                                std::integer_sequence<int, 32, 64, 128>())),
                   std::tuple<FormatSpec<Mode::kMxfp4, E2M1, E8M0, 32>>,
                   std::tuple<FormatSpec<Mode::kMxfp8, E4M3, E8M0, 32>>,
                   std::tuple<FormatSpec<Mode::kNvfp4, E2M1, E4M3Scale, 16>>>;

struct ModeInfo {
  Mode mode;
  std::string_view name;  // MLX's
  int default_bits;
  int default_group_size;
};

inline constexpr ModeInfo kModes[] = {
    {Mode::kAffine, "affine", 4, 64},
    {Mode::kMxfp4, "mxfp4", 4, 32},
    {Mode::kMxfp8, "mxfp8", 8, 32},
    {Mode::kNvfp4, "nvfp4", 4, 16},
};

// Calls visitor(FormatSpec<...>()) for the spec that `format` is. All calls return one type.
template <class Visitor>
decltype(auto) visit_format(Format format, Visitor&& visitor) {
  using Result = decltype(visitor(std::tuple_element_t<0, FormatList>()));
  return [&]<size_t... I>(std::index_sequence<I...>)->Result {
    using Call = Result (*)(Visitor&);
    constexpr Call kCalls[] = {
        [](Visitor& v) -> Result { return v(std::tuple_element_t<I, FormatList>()); }...};
    return kCalls[format.index()](visitor);
  }
  (std::make_index_sequence<std::tuple_size_v<FormatList>>());
}

}  // namespace strake
