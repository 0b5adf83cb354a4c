// How the figures of a GPU's kernels are shown.
#pragma once

#include <string>
#include <vector>

#include "measurements.h"

namespace strake {

struct Figure {
  std::string name;
  double value;
  int digits;  // after the point
};
using Figures = std::vector<Figure>;

// Columns, or an object a line.
class FigureTable {
 public:
  explicit FigureTable(Measurements::Output output) : output_(output) {}

  // A line of columns, and their names above where they are not those of the line before.
  void row(const std::string& label, const Figures& figures);
  // Figures that each stand beside their names.
  void list(const std::string& label, const Figures& figures) const;

 private:
  void object(const std::string& label, const Figures& figures) const;

  Measurements::Output output_;
  std::vector<std::string> names_;
};

}  // namespace strake
