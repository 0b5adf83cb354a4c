#include "cuda/figure_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

namespace strake {
namespace {

constexpr size_t kLabel = 48;

size_t width_of(const std::string& name) { return std::max<size_t>(name.size(), 7) + 2; }

}  // namespace

void FigureTable::object(const std::string& label, const Figures& figures) const {
  nlohmann::ordered_json line{{"label", label}};
  for (const Figure& figure : figures) line[figure.name] = figure.value;
  fmt::print("{}\n", line.dump());
  std::fflush(stdout);
}

void FigureTable::row(const std::string& label, const Figures& figures) {
  if (output_ == Measurements::Output::kJson) return object(label, figures);
  std::vector<std::string> names;
  for (const Figure& figure : figures) names.push_back(figure.name);
  if (names != names_) {
    fmt::print("\n{:<{}}", "", kLabel);
    for (const std::string& name : names) fmt::print("{:>{}}", name, width_of(name));
    fmt::print("\n");
    names_ = names;
  }
  fmt::print("{:<{}}", label, kLabel);
  for (const Figure& figure : figures)
    fmt::print("{:>{}.{}f}", figure.value, width_of(figure.name), figure.digits);
  fmt::print("\n");
  std::fflush(stdout);
}

void FigureTable::list(const std::string& label, const Figures& figures) const {
  if (output_ == Measurements::Output::kJson) return object(label, figures);
  fmt::print("{:<{}}", label, kLabel);
  for (const Figure& figure : figures)
    fmt::print("  {} {:.{}f}", figure.name, figure.value, figure.digits);
  fmt::print("\n");
  std::fflush(stdout);
}

}  // namespace strake
