#include "strake/quant/format.h"

#include <fmt/ranges.h>

#include <vector>

#include "base/fail.h"
#include "quant/format_list.h"

namespace strake {
namespace {

constexpr size_t kCount = std::tuple_size_v<FormatList>;

struct FormatInfo {
  Mode mode;
  int bits;
  int group_size;
  bool has_biases;
};

constexpr auto kInfo = []<size_t... I>(std::index_sequence<I...>) {
  return std::array<FormatInfo, kCount>{
      {{std::tuple_element_t<I, FormatList>::kMode, std::tuple_element_t<I, FormatList>::kBits,
        std::tuple_element_t<I, FormatList>::kGroupSize,
        std::tuple_element_t<I, FormatList>::kHasBiases}...}};
}
(std::make_index_sequence<kCount>());

std::string legal_combinations(Mode mode) {
  std::vector<std::string> legal;
  for (const auto& info : kInfo)
    if (info.mode == mode) legal.push_back(fmt::format("{}/{}", info.bits, info.group_size));
  return fmt::format("{}", fmt::join(legal, ", "));
}

}  // namespace

Format Format::parse(std::string_view mode, std::optional<int> bits,
                     std::optional<int> group_size) {
  for (const ModeInfo& known : kModes) {
    if (known.name != mode) continue;
    const int wanted_bits = bits.value_or(known.default_bits);
    const int wanted_group = group_size.value_or(known.default_group_size);
    for (const Format format : all())
      if (format.mode() == known.mode && format.bits() == wanted_bits &&
          format.group_size() == wanted_group)
        return format;
    fail(ErrorKind::kUsage,
         "mode {} has no {}-bit format with groups of {}; legal (bits/group size): {}", mode,
         wanted_bits, wanted_group, legal_combinations(known.mode));
  }
  std::vector<std::string_view> names;
  for (const ModeInfo& known : kModes) names.push_back(known.name);
  fail(ErrorKind::kUsage, "unknown quantization mode '{}'; known: {}", mode,
       fmt::join(names, ", "));
}

std::span<const Format> Format::all() {
  static constexpr auto kAll = []<size_t... I>(std::index_sequence<I...>) {
    return std::array<Format, kCount>{Format(static_cast<int>(I))...};
  }
  (std::make_index_sequence<kCount>());
  return kAll;
}

Mode Format::mode() const { return kInfo[index_].mode; }
std::string_view Format::mode_name() const { return kModes[static_cast<int>(mode())].name; }
int Format::bits() const { return kInfo[index_].bits; }
int Format::group_size() const { return kInfo[index_].group_size; }
bool Format::has_biases() const { return kInfo[index_].has_biases; }

std::string Format::to_string() const {
  return fmt::format("{} ({} bits, groups of {})", mode_name(), bits(), group_size());
}

}  // namespace strake
