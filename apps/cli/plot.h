// Line plots as SVG.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace strake::cli {

struct PlotSeries {
  std::string name;
  std::vector<std::pair<double, double>> points;  // x and y, x above 0
};

// One set of axes, y from 0.
struct PlotPanel {
  std::string title;
  std::vector<PlotSeries> series;
};

// Panels over one another with the same x axis, which is logarithmic and labels the points' x.
struct Plot {
  std::string title;
  std::string x_title;
  std::vector<PlotPanel> panels;
};

std::string to_svg(const Plot& plot);

}  // namespace strake::cli
