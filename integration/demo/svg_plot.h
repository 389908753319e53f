// The plots of the HTML report as inline SVG text. Colours are CSS classes of the page, so that light and dark both
// work. Invariant: every mark also carries its figure as a <title>, and every series its name, so nothing is told by
// colour alone.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace sluice::integration::demo {

/// One piece of a stacked bar.
struct Segment {
  std::string name;
  std::string css_class;
  double value = 0;
};

/// One bar.
struct Bar {
  std::string label;
  std::string note;  ///< right of the bar
  std::vector<Segment> segments;
};

/// Horizontal stacked bars on one linear axis from zero.
struct BarPlot {
  std::string title;
  std::string unit;
  std::vector<Bar> bars;
  std::optional<double> limit;  ///< a dashed line
  std::string limit_name;
};

/// One point of a scatter plot.
struct Point {
  double x = 0;
  double y = 0;
  std::string css_class;
  std::string name;
};

/// Points over a linear x axis and a logarithmic y axis; points with y of zero sit on the lower edge.
struct ScatterPlot {
  std::string title;
  std::string x_name;
  std::string y_name;
  std::vector<Point> points;
};

/// Text made safe for HTML and attributes.  Threads: pure.
std::string escaped(const std::string& text);
/// An <svg> element.  Threads: pure.
std::string draw(const BarPlot& plot);
/// An <svg> element.  Threads: pure.
std::string draw(const ScatterPlot& plot);

}  // namespace sluice::integration::demo
