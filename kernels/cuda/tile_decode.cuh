// Decodes one base stream (K or V of one layer of one unit) straight into an engine's pages: 32-lane rANS, escapes,
// dequantise, RoPE, narrow, scatter. One warp takes one stream; the indices of one head at a time stay in shared
// memory, none goes to device memory. The lanes of FORMAT.md section 4.1 are the lanes of the warp.
//
// Invariants: no read outside the spans of the job, whatever the words say; the same bits as kernels/ref. Pages are
// written head by head, so they hold rubbish when the status is not kDecoded: publish only after looking at it.
// Source: FORMAT.md sections 4 and 5.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "kernels/cuda/lane.cuh"
#include "kernels/rans.h"
#include "kernels/shape.h"

namespace sluice::kernels::cuda {

/// How a stream ended.
enum class TileStatus : std::uint32_t {
  kDecoded = 0,
  kWordsRanOut = 1,
  kEscapesRanOut = 2,
  kUnfinished = 3,  ///< a lane is not back at the start, or words or escapes are left
};

/// One stream. All pointers are to memory that the warp can read (pages: write); sizes were checked by the host.
struct TileJob {
  const std::uint32_t* states = nullptr;  ///< [lanes], each >= 2^16
  const std::uint16_t* words = nullptr;
  const std::int16_t* escapes = nullptr;
  const std::uint8_t* classes = nullptr;  ///< [heads * head_dim], each < the number of tables
  const std::uint16_t* steps = nullptr;   ///< [heads] bf16
  const std::uint16_t* means = nullptr;   ///< [heads * head_dim] bf16
  const RansTable* tables = nullptr;      ///< by class
  const std::uint8_t* largest = nullptr;  ///< by class: magnitude beyond which a symbol is the escape
  const float* cosine = nullptr;          ///< [pairs][ordinary + fine]
  const float* sine = nullptr;
  std::byte* const* blocks = nullptr;  ///< pages, as PlaneView
  TileStatus* status = nullptr;

  std::uint64_t block_tokens = 0;
  std::int64_t token_stride = 0;
  std::int64_t head_stride = 0;
  std::uint32_t lanes = 0;
  std::uint32_t word_count = 0;
  std::uint32_t escape_count = 0;
  std::uint32_t heads = 0;
  std::uint32_t head_dim = 0;
  std::uint32_t first_token = 0;  ///< of the coded ones inside the plane
  std::uint32_t ordinary = 0;
  std::uint32_t fine = 0;
  std::uint32_t pairs = 0;  ///< channel pairs that turn; 0 for V and without RoPE
  RopeStyle style = RopeStyle::kNone;

  SLUICE_DEVICE std::uint32_t coded() const { return ordinary + fine; }
};

/// Indices that shared memory must hold.  Threads: pure.
SLUICE_DEVICE inline std::size_t tile_indices(std::uint32_t head_dim, std::uint32_t coded) {
  return static_cast<std::size_t>(head_dim) * coded;
}

/// Where one lane stands in its stream; cursor, escape and intact are the same in all lanes.
struct TileCursor {
  std::uint32_t state = kRansStart;
  std::uint32_t word = 0;
  std::uint32_t escape = 0;
  TileStatus status = TileStatus::kDecoded;
};

/// Tokens [first, first + count) of a channel: one run of one table.
struct TileRun {
  std::uint32_t class_index = 0;
  std::uint32_t first = 0;
  std::uint32_t count = 0;
};

/// Takes the next 32 symbols of a run; returns this lane's index. Lanes without a symbol vote no.
template <typename Lane>
SLUICE_DEVICE std::int32_t take_index(Lane& lane, const TileJob& job, const TileRun& run, bool has_symbol,
                                      TileCursor& cursor) {
  const std::uint32_t below = (1U << lane.index()) - 1U;
  std::uint32_t symbol = 0;
  if (has_symbol) {
    const std::uint32_t entry = job.tables[run.class_index].decode[cursor.state & (kRansSlots - 1)];
    symbol = entry & 0xFFU;
    cursor.state = ((entry >> 8U) & 0xFFFU) * (cursor.state >> 8U) + (entry >> 20U);
  }
  const bool is_low = cursor.state < kRansStart;
  const std::uint32_t lows = lane.ballot(is_low);
  if (is_low) {
    const std::uint32_t place = cursor.word + Lane::ones(lows & below);
    cursor.state = place < job.word_count ? cursor.state << 16U | job.words[place] : cursor.state | kRansStart;
  }
  cursor.word += Lane::ones(lows);
  if (cursor.word > job.word_count) {
    cursor.word = job.word_count;
    cursor.status = TileStatus::kWordsRanOut;
  }
  const std::uint32_t largest = job.largest[run.class_index];
  const bool is_escape = has_symbol && symbol == 2 * largest + 1;
  const std::uint32_t escapes = lane.ballot(is_escape);
  const std::int32_t magnitude = static_cast<std::int32_t>((symbol + 1) >> 1U);
  std::int32_t index = (symbol & 1U) != 0 ? magnitude : -magnitude;
  if (is_escape) {
    const std::uint32_t place = cursor.escape + Lane::ones(escapes & below);
    index = place < job.escape_count ? job.escapes[place] : 0;
  }
  cursor.escape += Lane::ones(escapes);
  if (cursor.escape > job.escape_count) {
    cursor.escape = job.escape_count;
    if (cursor.status == TileStatus::kDecoded) cursor.status = TileStatus::kEscapesRanOut;
  }
  return index;
}

/// One run into `indices` [count].
template <typename Lane>
SLUICE_DEVICE void take_run(Lane& lane, const TileJob& job, const TileRun& run, TileCursor& cursor,
                            std::int16_t* indices) {
  for (std::uint32_t done = 0; done < run.count; done += kWarpLanes) {
    const bool has_symbol = done + lane.index() < run.count;
    const std::int32_t index = take_index(lane, job, run, has_symbol, cursor);
    if (has_symbol) indices[run.first + done + lane.index()] = static_cast<std::int16_t>(index);
  }
}

SLUICE_DEVICE inline float bf16_value(std::uint16_t bits) {
  const std::uint32_t wide = static_cast<std::uint32_t>(bits) << 16U;
  return std::bit_cast<float>(wide);
}

/// Class of the newest tokens; FORMAT.md section 4.3: a quarter octave a class, half the step is one octave up.
SLUICE_DEVICE constexpr std::uint32_t newest_class(std::uint32_t ordinary) {
  constexpr std::uint32_t kSpreadsOfAShape = 38;
  const std::uint32_t spread = ordinary % kSpreadsOfAShape + 4;
  return ordinary / kSpreadsOfAShape * kSpreadsOfAShape + (spread < kSpreadsOfAShape ? spread : kSpreadsOfAShape - 1);
}

/// The value of one index.
template <typename Lane>
SLUICE_DEVICE float tile_value(const TileJob& job, std::uint32_t channel, std::uint32_t token, std::int16_t index) {
  const float step = bf16_value(job.steps[channel / job.head_dim]);
  const float used = token < job.ordinary ? step : step * 0.5F;
  return Lane::sum(Lane::product(static_cast<float>(index), used), bf16_value(job.means[channel]));
}

/// Channels that one lane writes together.
struct TilePair {
  std::uint32_t first = 0;
  std::uint32_t second = 0;
};
SLUICE_DEVICE inline TilePair tile_pair(const TileJob& job, std::uint32_t pair) {
  if (pair >= job.pairs || job.style == RopeStyle::kPairs) return {2 * pair, 2 * pair + 1};
  return {pair, pair + job.pairs};
}

/// One head out of shared memory into the pages.
/// Shape: indices [head_dim][coded].
template <typename Format, typename Lane>
SLUICE_DEVICE void place_head(Lane& lane, const TileJob& job, std::uint32_t head, const std::int16_t* indices) {
  using Storage = typename Format::Storage;
  const std::uint32_t coded = job.coded();
  for (std::uint32_t token = 0; token < coded; ++token) {
    const std::uint64_t at = job.first_token + token;
    std::byte* const row = job.blocks[at / job.block_tokens] +
                           static_cast<std::int64_t>(at % job.block_tokens) * job.token_stride +
                           static_cast<std::int64_t>(head) * job.head_stride;
    Storage* const values = reinterpret_cast<Storage*>(row);
    for (std::uint32_t pair = lane.index(); 2 * pair < job.head_dim; pair += kWarpLanes) {
      const TilePair channels = tile_pair(job, pair);
      const auto value = [&](std::uint32_t channel) {
        return tile_value<Lane>(job, head * job.head_dim + channel, token, indices[channel * coded + token]);
      };
      float first = value(channels.first);
      float second = value(channels.second);
      if (pair < job.pairs) {
        const float cosine = job.cosine[pair * coded + token];
        const float sine = job.sine[pair * coded + token];
        const float turned = Lane::sum(Lane::product(first, cosine), -Lane::product(second, sine));
        second = Lane::sum(Lane::product(first, sine), Lane::product(second, cosine));
        first = turned;
      }
      values[channels.first] = Format::narrow(first);
      values[channels.second] = Format::narrow(second);
    }
  }
}

/// The kernel body.
/// Shape:   shared = [tile_indices(head_dim, coded)]
/// Precondition: head_dim is even; halves-style RoPE turns a whole head or is 2 * pairs <= head_dim with style kPairs.
template <typename Format, typename Lane>
SLUICE_DEVICE void decode_tile(Lane& lane, const TileJob& job, std::int16_t* shared) {
  TileCursor cursor;
  if (lane.index() < job.lanes) cursor.state = job.states[lane.index()];
  const std::uint32_t coded = job.coded();
  for (std::uint32_t head = 0; head < job.heads; ++head) {
    for (std::uint32_t channel = 0; channel < job.head_dim; ++channel) {
      const std::uint32_t class_index = job.classes[head * job.head_dim + channel];
      std::int16_t* const column = shared + static_cast<std::size_t>(channel) * coded;
      take_run(lane, job, {class_index, 0, job.ordinary}, cursor, column);
      take_run(lane, job, {newest_class(class_index), job.ordinary, job.fine}, cursor, column);
    }
    lane.sync();
    place_head<Format>(lane, job, head, shared);
    lane.sync();
  }
  const bool at_start = lane.ballot(cursor.state == kRansStart) == 0xFFFFFFFFU;
  const bool all_used = cursor.word == job.word_count && cursor.escape == job.escape_count;
  if (cursor.status == TileStatus::kDecoded && !(at_start && all_used)) cursor.status = TileStatus::kUnfinished;
  if (lane.index() == 0) *job.status = cursor.status;
}

}  // namespace sluice::kernels::cuda
