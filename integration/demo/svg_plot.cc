#include "integration/demo/svg_plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace sluice::integration::demo {

namespace {

constexpr double kWidth = 720;
constexpr double kLeft = 130;
constexpr double kRight = 110;
constexpr double kRow = 26;
constexpr double kTop = 34;

/// The step of about five ticks up to `largest`: 1, 2 or 5 times a power of ten.
double tick_step(double largest) {
  const double power = std::pow(10.0, std::floor(std::log10(std::max(largest, 1e-9) / 5)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (power * factor * 5 >= largest) return power * factor;
  }
  return power * 10;
}

double total(const Bar& bar) {
  double sum = 0;
  for (const Segment& segment : bar.segments) sum += segment.value;
  return sum;
}

std::string draw_bar(const Bar& bar, double y, double scale, const std::string& unit) {
  std::string svg =
      fmt::format(R"(<text x="{}" y="{}" text-anchor="end">{}</text>)", kLeft - 8, y + 15, escaped(bar.label));
  double x = kLeft;
  for (const Segment& segment : bar.segments) {
    if (segment.value <= 0) continue;
    svg += fmt::format(
        R"(<rect class="{}" x="{:.1f}" y="{}" width="{:.1f}" height="18"><title>{}: {:.4g} {}</title></rect>)",
        segment.css_class, x, y, segment.value * scale, escaped(segment.name), segment.value, unit);
    x += segment.value * scale;
  }
  return svg + fmt::format(R"(<text x="{:.1f}" y="{}">{}</text>)", x + 6, y + 15, escaped(bar.note));
}

std::string frame(const std::string& title, double height) {
  return fmt::format(
      R"(<svg viewBox="0 0 {} {}" role="img" aria-label="{}"><text class="title" x="0" y="16">{}</text>)", kWidth,
      height, escaped(title), escaped(title));
}

}  // namespace

std::string escaped(const std::string& text) {
  std::string safe;
  for (const char letter : text) {
    switch (letter) {
      case '&':
        safe += "&amp;";
        break;
      case '<':
        safe += "&lt;";
        break;
      case '>':
        safe += "&gt;";
        break;
      case '"':
        safe += "&quot;";
        break;
      default:
        safe += letter;
    }
  }
  return safe;
}

std::string draw(const BarPlot& plot) {
  double largest = plot.limit.value_or(0);
  for (const Bar& bar : plot.bars) largest = std::max(largest, total(bar));
  if (largest <= 0) largest = 1;
  const double scale = (kWidth - kLeft - kRight) / largest;
  const double bottom = kTop + kRow * static_cast<double>(plot.bars.size());
  std::string svg = frame(plot.title, bottom + 26);
  const double step = tick_step(largest);
  for (double tick = 0; tick <= largest * 1.0001; tick += step) {
    const double x = kLeft + tick * scale;
    svg += fmt::format(R"(<line class="grid" x1="{0:.1f}" y1="{1}" x2="{0:.1f}" y2="{2}"/>)", x, kTop - 4, bottom);
    svg +=
        fmt::format(R"(<text class="tick" x="{:.1f}" y="{}" text-anchor="middle">{:g}</text>)", x, bottom + 14, tick);
  }
  svg += fmt::format(R"(<text class="tick" x="{}" y="{}">{}</text>)", kWidth - kRight + 20, bottom + 14,
                     escaped(plot.unit));
  double y = kTop;
  for (const Bar& bar : plot.bars) {
    svg += draw_bar(bar, y, scale, plot.unit);
    y += kRow;
  }
  if (plot.limit) {
    const double x = kLeft + *plot.limit * scale;
    svg += fmt::format(R"(<line class="limit" x1="{0:.1f}" y1="{1}" x2="{0:.1f}" y2="{2}"><title>{3}</title></line>)",
                       x, kTop - 8, bottom, escaped(plot.limit_name));
    svg += fmt::format(R"(<text class="tick" x="{:.1f}" y="{}" text-anchor="middle">{}</text>)", x, kTop - 10,
                       escaped(plot.limit_name));
  }
  return svg + "</svg>";
}

std::string draw(const ScatterPlot& plot) {
  constexpr double kHeight = 340;
  constexpr double kBottom = kHeight - 44;
  double largest_x = 1;
  double largest_y = 1e-3;
  double smallest_y = 1e-3;
  for (const Point& point : plot.points) {
    largest_x = std::max(largest_x, point.x);
    if (point.y > 0) largest_y = std::max(largest_y, point.y);
    if (point.y > 0) smallest_y = std::min(smallest_y, point.y);
  }
  const double low = std::floor(std::log10(std::max(smallest_y, 1e-7)));
  const double high = std::ceil(std::log10(largest_y));
  const double x_scale = (kWidth - kLeft - kRight) / largest_x;
  const double y_scale = (kBottom - kTop) / std::max(high - low, 1.0);
  std::string svg = frame(plot.title, kHeight);
  for (double power = low; power <= high; ++power) {
    const double y = kBottom - (power - low) * y_scale;
    svg += fmt::format(R"(<line class="grid" x1="{}" y1="{:.1f}" x2="{}" y2="{:.1f}"/>)", kLeft, y, kWidth - kRight, y);
    svg += fmt::format(R"(<text class="tick" x="{}" y="{:.1f}" text-anchor="end">{:g}</text>)", kLeft - 8, y + 4,
                       std::pow(10.0, power));
  }
  const double step = tick_step(largest_x);
  for (double tick = 0; tick <= largest_x * 1.0001; tick += step) {
    svg += fmt::format(R"(<text class="tick" x="{:.1f}" y="{}" text-anchor="middle">{:g}</text>)",
                       kLeft + tick * x_scale, kBottom + 16, tick);
  }
  svg += fmt::format(R"(<text class="tick" x="{}" y="{}" text-anchor="middle">{}</text>)",
                     (kLeft + kWidth - kRight) / 2, kBottom + 34, escaped(plot.x_name));
  svg += fmt::format(R"(<text class="tick" x="0" y="{}">{}</text>)", kTop - 4, escaped(plot.y_name));
  for (const Point& point : plot.points) {
    const double power = point.y > 0 ? std::log10(point.y) : low;
    const double x = kLeft + point.x * x_scale;
    const double y = kBottom - std::max(power - low, 0.0) * y_scale;
    svg += fmt::format(
        R"(<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="6"><title>{}: {:.2f} bits per value, KL {:.3g}</title></circle>)",
        point.css_class, x, y, escaped(point.name), point.x, point.y);
  }
  return svg + "</svg>";
}

}  // namespace sluice::integration::demo
