// The order of a stream's symbols: which pieces of which channels make up each run. Normative: FORMAT.md section 5.
// Both sides plan alike from classes and groups; nothing of a plan is sent.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "codec/token_groups.h"

namespace sluice::codec {

/// Consecutive indices of one channel and group, in a plane of indices [width][coded places].
struct Piece {
  std::uint32_t offset = 0;
  std::uint32_t count = 0;
};

/// Pieces that are coded as one run by one class. Runs without symbols are not planned.
struct Run {
  std::uint8_t coefficient_class = 0;
  std::uint32_t first_piece = 0;
  std::uint32_t pieces = 0;
  std::uint32_t symbols = 0;
};

/// Grows once, then is reused.
struct RunPlan {
  std::vector<Piece> pieces;
  std::vector<Run> runs;
  std::vector<Piece> silent;  ///< of silent coefficients: nothing is coded
  std::span<const Piece> pieces_of(const Run& run) const {
    return std::span(pieces).subspan(run.first_piece, run.pieces);
  }
};

/// classes = [groups][width].
struct PlanInput {
  std::span<const std::uint8_t> classes;
  std::size_t width = 0;
  const TokenGroups* groups = nullptr;
};

/// One run for every channel and group, channel by channel: streams without a profile.
void plan_by_channel(const PlanInput& input, RunPlan& plan);
/// One run for every class, classes rising; within it group by group, then channel by channel: streams with a profile.
void plan_by_class(const PlanInput& input, RunPlan& plan);

}  // namespace sluice::codec
