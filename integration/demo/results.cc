#include "integration/demo/results.h"

#include <algorithm>

namespace sluice::integration::demo {

Duration Cell::ttft() const {
  if (ttfts.empty()) return Duration{0};
  std::vector<Duration> sorted = ttfts;
  const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>((sorted.size() - 1) / 2);
  std::nth_element(sorted.begin(), middle, sorted.end());
  return *middle;
}

const Cell* LinkResult::cell(Scheme scheme) const {
  const auto found = std::find_if(cells.begin(), cells.end(), [&](const Cell& cell) { return cell.scheme == scheme; });
  return found == cells.end() ? nullptr : &*found;
}

const SceneResult* DemoResults::scene(Scene wanted) const {
  const auto found =
      std::find_if(scenes.begin(), scenes.end(), [&](const SceneResult& result) { return result.scene == wanted; });
  return found == scenes.end() ? nullptr : &*found;
}

double in_milliseconds(Duration span) { return std::chrono::duration<double, std::milli>(span).count(); }

}  // namespace sluice::integration::demo
