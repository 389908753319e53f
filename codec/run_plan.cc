#include "codec/run_plan.h"

#include <array>

#include "base/assert.h"
#include "codec/coefficient_class.h"

namespace sluice::codec {
namespace {

Piece piece_of(const TokenGroups& groups, std::size_t channel, std::size_t group) {
  return {static_cast<std::uint32_t>(channel * groups.coded() + groups.first[group]),
          static_cast<std::uint32_t>(groups.count(group))};
}

}  // namespace

void plan_by_channel(const PlanInput& input, RunPlan& plan) {
  plan.pieces.clear();
  plan.runs.clear();
  plan.silent.clear();
  for (std::size_t channel = 0; channel < input.width; ++channel) {
    for (std::size_t group = 0; group < input.groups->groups; ++group) {
      const Piece piece = piece_of(*input.groups, channel, group);
      if (piece.count == 0) continue;
      const auto number = static_cast<std::uint32_t>(plan.pieces.size());
      plan.pieces.push_back(piece);
      plan.runs.push_back({input.classes[group * input.width + channel], number, 1, piece.count});
    }
  }
}

void plan_by_class(const PlanInput& input, RunPlan& plan) {
  constexpr std::size_t kNames = 256;
  std::array<std::uint32_t, kNames> pieces{};
  std::array<std::uint32_t, kNames> symbols{};
  const TokenGroups& groups = *input.groups;
  for (std::size_t group = 0; group < groups.groups; ++group) {
    const auto count = static_cast<std::uint32_t>(groups.count(group));
    if (count == 0) continue;
    for (const std::uint8_t name : input.classes.subspan(group * input.width, input.width)) {
      ++pieces[name];
      symbols[name] += count;
    }
  }
  plan.runs.clear();
  std::array<std::uint32_t, kNames> next{};
  std::uint32_t total = 0;
  for (std::size_t name = 0; name < kSilentClass; ++name) {
    next[name] = total;
    if (pieces[name] == 0) continue;
    plan.runs.push_back({static_cast<std::uint8_t>(name), total, pieces[name], symbols[name]});
    total += pieces[name];
  }
  plan.pieces.resize(total);
  plan.silent.clear();
  for (std::size_t group = 0; group < groups.groups; ++group) {
    if (groups.count(group) == 0) continue;
    for (std::size_t channel = 0; channel < input.width; ++channel) {
      const std::uint8_t name = input.classes[group * input.width + channel];
      const Piece piece = piece_of(groups, channel, group);
      if (name == kSilentClass) {
        plan.silent.push_back(piece);
      } else {
        plan.pieces[next[name]++] = piece;
      }
    }
  }
}

}  // namespace sluice::codec
