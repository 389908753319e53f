#include "integration/programs/line_plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "integration/demo/svg_plot.h"

namespace sluice::programs {
namespace {

using integration::demo::escaped;
using scheduler::sim::Picture;
using scheduler::sim::Series;

constexpr double kWidth = 760;
constexpr double kHeight = 420;
constexpr double kLeft = 60;
constexpr double kRight = 600;
constexpr double kTop = 40;
constexpr double kBottom = 370;
constexpr double kLabelStep = 15;
constexpr std::array kColours = {"#0b6e99", "#d9730d", "#6940a5", "#0f7b6c", "#ad1a72", "#9b9a97"};
constexpr std::array kDashes = {"none", "7 3", "2 3", "9 3 2 3"};

/// Where the figures lie on the paper.
struct Frame {
  double x_low = 0;
  double x_high = 1;
  double y_high = 1;
  bool is_logarithmic = false;

  double x(double value) const {
    const auto place = [&](double one) { return is_logarithmic ? std::log10(one) : one; };
    const double span = std::max(place(x_high) - place(x_low), 1e-9);
    return kLeft + (place(value) - place(x_low)) / span * (kRight - kLeft);
  }
  double y(double value) const { return kBottom - std::clamp(value / y_high, 0.0, 1.0) * (kBottom - kTop); }
};

Frame frame_of(const Picture& picture) {
  Frame frame{1e300, -1e300, 0, picture.is_x_logarithmic};
  for (const Series& series : picture.series) {
    for (const auto& [x, y] : series.points) {
      frame.x_low = std::min(frame.x_low, x);
      frame.x_high = std::max(frame.x_high, x);
      frame.y_high = std::max(frame.y_high, y);
    }
  }
  if (frame.y_high <= 0) frame.y_high = 1;
  return frame;
}

std::string axes(const Picture& picture, const Frame& frame) {
  std::string text = fmt::format(
      "<path d=\"M{0} {1}V{2}H{3}\" fill=\"none\" stroke=\"#888\"/>\n"
      "<text x=\"{0}\" y=\"22\" font-size=\"14\">{4}</text>\n"
      "<text x=\"{5}\" y=\"{6}\" text-anchor=\"middle\">{7}</text>\n"
      "<text x=\"{0}\" y=\"{8}\">{9}</text>\n",
      kLeft, kTop, kBottom, kRight, escaped(picture.title), (kLeft + kRight) / 2, kBottom + 36, escaped(picture.x_name),
      kTop - 4, escaped(picture.y_name));
  for (int step = 0; step <= 4; ++step) {
    const double value = frame.y_high * step / 4;
    text += fmt::format("<text x=\"{}\" y=\"{:.1f}\" text-anchor=\"end\">{:.3g}</text>\n", kLeft - 6,
                        frame.y(value) + 4, value);
  }
  // Every series has the same places; the first names them.
  for (const auto& [x, y] : picture.series.front().points) {
    text +=
        fmt::format("<text x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">{:g}</text>\n", frame.x(x), kBottom + 16, x);
  }
  return text;
}

/// Heights of the names beside the lines' ends, pushed apart.
std::vector<double> label_places(const Picture& picture, const Frame& frame) {
  std::vector<std::pair<double, std::size_t>> wanted;
  for (std::size_t i = 0; i < picture.series.size(); ++i) {
    wanted.emplace_back(frame.y(picture.series[i].points.back().second), i);
  }
  std::sort(wanted.begin(), wanted.end());
  std::vector<double> places(wanted.size());
  double above = kTop - kLabelStep;
  for (const auto& [y, i] : wanted) above = places[i] = std::max(y, above + kLabelStep);
  const double over = std::max(0.0, above - kBottom);
  for (double& place : places) place -= over;
  return places;
}

}  // namespace

std::string draw_lines(const Picture& picture) {
  std::string text = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" font-family=\"sans-serif\" font-size=\"11\">\n"
      "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n",
      kWidth, kHeight);
  if (picture.series.empty() || picture.series.front().points.empty()) return text + "</svg>\n";
  const Frame frame = frame_of(picture);
  text += axes(picture, frame);
  const std::vector<double> labels = label_places(picture, frame);
  for (std::size_t i = 0; i < picture.series.size(); ++i) {
    const Series& series = picture.series[i];
    std::string points;
    for (const auto& [x, y] : series.points) points += fmt::format("{:.1f},{:.1f} ", frame.x(x), frame.y(y));
    const char* colour = kColours[i % kColours.size()];
    text += fmt::format(
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{}\" stroke-dasharray=\"{}\"/>\n"
        "<text x=\"{}\" y=\"{:.1f}\" fill=\"{}\">{}</text>\n",
        points, colour, i == 0 ? 3 : 1.5, kDashes[i / kColours.size() % kDashes.size()], kRight + 8, labels[i] + 4,
        colour, escaped(series.name));
  }
  return text + "</svg>\n";
}

}  // namespace sluice::programs
