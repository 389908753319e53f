#include "kernels/cuda/emulator.h"

#include <algorithm>
#include <bit>
#include <boost/context/fiber.hpp>
#include <numeric>
#include <optional>
#include <random>
#include <string_view>
#include <vector>

namespace sluice::kernels::cuda {
namespace {

using boost::context::fiber;

std::string text(const std::source_location& place) {
  return std::string(place.file_name()) + ":" + std::to_string(place.line());
}

bool same_place(const std::source_location& a, const std::source_location& b) {
  return a.line() == b.line() && a.column() == b.column() && std::string_view(a.file_name()) == b.file_name();
}

}  // namespace

/// The turns of one warp.
class WarpEmulator {
 public:
  WarpEmulator(const Schedule& schedule, const std::function<void(EmulatedLane&)>& body)
      : schedule_(schedule), random_(schedule.seed) {
    for (std::uint32_t index = 0; index < kWarpLanes; ++index) {
      turns_[index].lane = fiber([this, index, &body](fiber&& main) {
        turns_[index].main = std::move(main);
        EmulatedLane lane(*this, index);
        body(lane);
        turns_[index].ended = true;
        return std::move(turns_[index].main);
      });
    }
  }

  std::string run() {
    while (true) {
      for (const std::uint32_t index : order()) {
        Turn& turn = turns_[index];
        if (!turn.ended) turn.lane = std::move(turn.lane).resume();
      }
      const auto ended = std::count_if(turns_.begin(), turns_.end(), [](const Turn& turn) { return turn.ended; });
      if (ended == static_cast<std::ptrdiff_t>(turns_.size())) return {};
      if (std::string problem = complete_collective(); !problem.empty()) return problem;
    }
  }

  std::uint32_t wait(std::uint32_t index, bool vote, const std::source_location& place) {
    Turn& turn = turns_[index];
    turn.vote = vote;
    turn.place = place;
    turn.main = std::move(turn.main).resume();
    return votes_;
  }

 private:
  struct Turn {
    fiber lane;
    fiber main;
    std::source_location place;
    bool vote = false;
    bool ended = false;
  };

  std::vector<std::uint32_t> order() {
    std::vector<std::uint32_t> lanes(kWarpLanes);
    std::iota(lanes.begin(), lanes.end(), 0U);
    if (schedule_.order == Schedule::Order::kDescending) std::reverse(lanes.begin(), lanes.end());
    if (schedule_.order == Schedule::Order::kShuffled) std::shuffle(lanes.begin(), lanes.end(), random_);
    return lanes;
  }

  // Every lane has ended or waits. All must wait, at one place.
  std::string complete_collective() {
    votes_ = 0;
    for (std::uint32_t index = 0; index < kWarpLanes; ++index) {
      const Turn& turn = turns_[index];
      if (turn.ended) return "lane " + std::to_string(index) + " ended while others wait at " + waiting_place();
      if (!same_place(turn.place, turns_[0].place)) {
        return "lanes diverge: lane 0 at " + text(turns_[0].place) + ", lane " + std::to_string(index) + " at " +
               text(turn.place);
      }
      votes_ |= static_cast<std::uint32_t>(turn.vote) << index;
    }
    return {};
  }

  std::string waiting_place() const {
    const auto waiting = std::find_if(turns_.begin(), turns_.end(), [](const Turn& turn) { return !turn.ended; });
    return text(waiting->place);
  }

  Schedule schedule_;
  std::mt19937_64 random_;
  std::array<Turn, kWarpLanes> turns_;
  std::uint32_t votes_ = 0;
};

std::uint32_t EmulatedLane::ballot(bool vote, std::source_location place) { return warp_->wait(index_, vote, place); }

std::uint32_t EmulatedLane::ones(std::uint32_t bits) { return static_cast<std::uint32_t>(std::popcount(bits)); }

std::string run_warp(const Schedule& schedule, const std::function<void(EmulatedLane&)>& body) {
  return WarpEmulator(schedule, body).run();
}

}  // namespace sluice::kernels::cuda
