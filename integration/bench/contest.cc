#include "integration/bench/contest.h"

#include <algorithm>
#include <numeric>
#include <random>

namespace sluice::integration::bench {
namespace {

struct Series {
  std::vector<double> speed;
  std::vector<double> trip_us;
  std::vector<double> cpu;
  bool is_right = true;
  std::string failure;
};

double seconds(Duration span) { return std::chrono::duration<double>(span).count(); }

void take_turn(const Contestant& contestant, Shape shape, std::size_t transfers, Series& series) {
  Took sum;
  std::vector<double> trips;
  for (std::size_t at = 0; at < transfers && series.failure.empty(); ++at) {
    const Result<Took> took = contestant.measure(shape);
    if (!took) {
      series.failure = std::string(error_name(took.error().code)) + " (" + took.error().where + ")";
      return;
    }
    sum.wall += took->wall;
    sum.cpu += took->cpu;
    trips.push_back(1e6 * seconds(took->median_trip));
    series.is_right = series.is_right && took->is_right;
  }
  const std::size_t size = shape == Shape::kRoundTrip ? 2 * kTrips * kMessage : kWindow;
  const double gigabytes = 1e-9 * static_cast<double>(size * transfers);
  series.speed.push_back(gigabytes / std::max(seconds(sum.wall), 1e-9));
  series.cpu.push_back(seconds(sum.cpu) / gigabytes);
  series.trip_us.push_back(figure_of(std::move(trips)).median);
}

}  // namespace

Figure figure_of(std::vector<double> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  const auto at = [&](std::size_t part) { return values[part * (values.size() - 1) / 4]; };
  return Figure{at(2), (at(3) - at(1)) / 2.0};
}

std::vector<Row> run_contest(const std::vector<Contestant>& contestants, const ContestOptions& options) {
  std::map<std::pair<std::size_t, Shape>, Series> series;
  std::vector<std::size_t> order(contestants.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::mt19937 random(1);
  for (std::size_t round = 0; round <= options.rounds; ++round) {
    for (const Shape shape : {Shape::kFragments, Shape::kChunks, Shape::kRoundTrip}) {
      std::shuffle(order.begin(), order.end(), random);
      for (const std::size_t number : order) {
        const Contestant& contestant = contestants[number];
        const auto& shapes = contestant.shapes;
        if (std::find(shapes.begin(), shapes.end(), shape) == shapes.end()) continue;
        Series warm_up;
        Series& taken = series[{number, shape}];
        if (!taken.failure.empty()) continue;
        take_turn(contestant, shape, round == 0 ? 1 : options.transfers, round == 0 ? warm_up : taken);
        if (round == 0) taken.failure = warm_up.failure;
      }
    }
  }
  std::vector<Row> rows;
  for (const auto& [key, taken] : series) {
    rows.push_back(Row{contestants[key.first].name, key.second, figure_of(taken.speed), figure_of(taken.trip_us),
                       figure_of(taken.cpu), taken.is_right, taken.failure});
  }
  return rows;
}

}  // namespace sluice::integration::bench
