#include "plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <set>

namespace strake::cli {
namespace {

constexpr double kLeft = 64, kRight = 24, kTop = 56, kBottom = 64;  // around the panels
constexpr double kWidth = 560, kHeight = 180, kGap = 72;            // of a panel, between panels
constexpr double kPadding = 24;                                     // beside the outer points
constexpr double kLegendLine = 18;
constexpr double kTicks = 4;  // about, on the y axis

// Told apart by all common kinds of colour vision (Okabe and Ito, 2008).
constexpr const char* kColors[] = {"#0072b2", "#d55e00", "#009e73",
                                   "#cc79a7", "#e69f00", "#56b4e9"};

std::string escaped(const std::string& text) {
  std::string result;
  for (const char c : text) {
    if (c == '&') {
      result += "&amp;";
    } else if (c == '<') {
      result += "&lt;";
    } else if (c == '>') {
      result += "&gt;";
    } else {
      result += c;
    }
  }
  return result;
}

// 1, 2 or 5 times a power of ten, so that about kTicks of them reach `largest`.
double tick_step(double largest) {
  if (!(largest > 0)) return 1;
  const double power = std::pow(10, std::floor(std::log10(largest / kTicks)));
  for (const double factor : {1, 2, 5})
    if (factor * power * kTicks >= largest) return factor * power;
  return 10 * power;
}

class Writer {
 public:
  explicit Writer(const Plot& plot) : plot_(plot) {
    for (const PlotPanel& panel : plot.panels)
      for (const PlotSeries& series : panel.series)
        for (const auto& [x, y] : series.points) xs_.insert(x);
  }

  std::string write() {
    const size_t names = plot_.panels.empty() ? 0 : plot_.panels.front().series.size();
    const double legend = names > 1 ? kLegendLine * static_cast<double>(names) : 0;
    const auto panels = static_cast<double>(plot_.panels.size());
    const double width = kLeft + kWidth + kRight;
    const double height = kTop + panels * (kHeight + kGap) - kGap + kBottom + legend;
    add(R"(<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {0} {1}" width="{0}" height="{1}" )"
        R"(font-family="sans-serif" font-size="12" fill="#222">)",
        width, height);
    add(R"(<rect width="{}" height="{}" fill="white"/>)", width, height);
    add(R"(<text x="{}" y="22" font-size="14">{}</text>)", kLeft, escaped(plot_.title));
    double top = kTop;
    for (const PlotPanel& panel : plot_.panels) {
      write_panel(panel, top);
      top += kHeight + kGap;
    }
    const double bottom = top - kGap;
    add(R"(<text x="{}" y="{}" text-anchor="middle">{}</text>)", kLeft + kWidth / 2, bottom + 40,
        escaped(plot_.x_title));
    if (names > 1) write_legend(bottom + kBottom);
    text_ += "</svg>\n";
    return std::move(text_);
  }

 private:
  template <class... Args>
  void add(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(text_), format, std::forward<Args>(args)...);
    text_ += '\n';
  }

  double place(double x) const {
    const double first = std::log(*xs_.begin()), last = std::log(*xs_.rbegin());
    if (xs_.size() == 1) return kLeft + kWidth / 2;
    return kLeft + kPadding + (std::log(x) - first) / (last - first) * (kWidth - 2 * kPadding);
  }

  void write_panel(const PlotPanel& panel, double top) {
    double largest = 0;
    for (const PlotSeries& series : panel.series)
      for (const auto& [x, y] : series.points) largest = std::max(largest, y);
    const double step = tick_step(largest);
    const double limit = std::max(1.0, std::ceil(largest / step)) * step;
    const double bottom = top + kHeight;
    const auto height_of = [&](double y) { return bottom - y / limit * kHeight; };
    add(R"(<text x="{}" y="{}">{}</text>)", kLeft, top - 10, escaped(panel.title));
    for (int i = 0; i * step <= limit * (1 + 1e-9); ++i) {
      const double y = height_of(i * step);
      add(R"(<line x1="{}" y1="{:.1f}" x2="{}" y2="{:.1f}" stroke="{}"/>)", kLeft, y,
          kLeft + kWidth, y, i == 0 ? "#222" : "#ddd");
      add(R"(<text x="{}" y="{:.1f}" text-anchor="end">{:g}</text>)", kLeft - 8, y + 4, i * step);
    }
    for (const double x : xs_) {
      add(R"(<line x1="{0:.1f}" y1="{1}" x2="{0:.1f}" y2="{2}" stroke="#222"/>)", place(x), bottom,
          bottom + 5);
      add(R"(<text x="{:.1f}" y="{}" text-anchor="middle">{:g}</text>)", place(x), bottom + 20, x);
    }
    for (size_t i = 0; i < panel.series.size(); ++i) {
      const char* const color = kColors[i % std::size(kColors)];
      std::string line;
      for (const auto& [x, y] : panel.series[i].points)
        line += fmt::format("{:.1f},{:.1f} ", place(x), height_of(y));
      add(R"(<polyline points="{}" fill="none" stroke="{}" stroke-width="2"/>)", line, color);
      for (const auto& [x, y] : panel.series[i].points)
        add(R"(<circle cx="{:.1f}" cy="{:.1f}" r="4" fill="{}"><title>{:g}: {:.4g}</title></circle>)",
            place(x), height_of(y), color, x, y);
    }
  }

  void write_legend(double top) {
    const auto& series = plot_.panels.front().series;
    for (size_t i = 0; i < series.size(); ++i) {
      const double y = top + kLegendLine * static_cast<double>(i);
      add(R"(<rect x="{}" y="{}" width="16" height="4" fill="{}"/>)", kLeft, y - 6,
          kColors[i % std::size(kColors)]);
      add(R"(<text x="{}" y="{}">{}</text>)", kLeft + 24, y, escaped(series[i].name));
    }
  }

  const Plot& plot_;
  std::set<double> xs_;
  std::string text_;
};

}  // namespace

std::string to_svg(const Plot& plot) { return Writer(plot).write(); }

}  // namespace strake::cli
