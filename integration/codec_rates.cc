#include "integration/codec_rates.h"

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <utility>

#include "base/assert.h"
#include "codec/frame.h"

namespace sluice::integration {
namespace {

/// One way to encode, and the levels that come out of it.
struct Trial {
  PartChoice choice;
  std::vector<Duration> encodes;
  std::vector<StoredUnit> units;
};

/// One level of a trial: so many of its first parts.
struct LevelTrial {
  std::size_t trial = 0;
  std::size_t parts = 0;
  std::vector<Duration> decodes;
};

TimedRounds timed(std::vector<Duration> rounds) {
  std::sort(rounds.begin(), rounds.end());
  return {rounds[rounds.size() / 2], rounds.back() - rounds.front()};
}

Result<void> encode_round(UnitCoder& coder, const KvPlanes& planes, const Geometry& geometry, const Clock& clock,
                          Trial& trial) {
  trial.units.clear();
  const Instant start = clock.now();
  for (std::size_t place = 0; place < geometry.units().count(); ++place) {
    SLUICE_ASSIGN(StoredUnit unit, coder.encode(planes, geometry, geometry.unit_at(RequestId(1), place), trial.choice));
    trial.units.push_back(std::move(unit));
  }
  trial.encodes.push_back(clock.now() - start);
  return {};
}

Result<void> decode_round(UnitCoder& coder, const Trial& trial, const Geometry& geometry, const Clock& clock,
                          KvPlanes& into, LevelTrial& level) {
  const Instant start = clock.now();
  for (std::size_t place = 0; place < trial.units.size(); ++place) {
    std::vector<const StoredPart*> parts;
    for (std::size_t part = 0; part < level.parts; ++part) parts.push_back(&trial.units[place][part]);
    SLUICE_TRY(coder.decode(parts, geometry, geometry.unit_at(RequestId(1), place), into));
  }
  level.decodes.push_back(clock.now() - start);
  return {};
}

/// The trials that these rows allow, each encoded once, not timed.
std::vector<Trial> possible_trials(UnitCoder& coder, const KvPlanes& planes, const Geometry& geometry) {
  constexpr std::array kChoices = {PartChoice{.raw = true, .lossless = false, .int8 = false, .nested = false},
                                   PartChoice{.raw = false, .lossless = true, .int8 = false, .nested = false},
                                   PartChoice{.raw = false, .lossless = false, .int8 = true, .nested = false},
                                   PartChoice{.raw = false, .lossless = false, .int8 = false, .nested = true}};
  std::vector<Trial> trials;
  for (const PartChoice& choice : kChoices) {
    const Result<StoredUnit> first = coder.encode(planes, geometry, geometry.unit_at(RequestId(1), 0), choice);
    if (first) trials.push_back({.choice = choice, .encodes = {}, .units = {*first}});
  }
  return trials;
}

std::vector<LevelTrial> levels_of(const std::vector<Trial>& trials) {
  std::vector<LevelTrial> levels;
  for (std::size_t trial = 0; trial < trials.size(); ++trial) {
    for (std::size_t part = 0; part < trials[trial].units.front().size(); ++part) {
      levels.push_back({.trial = trial, .parts = part + 1, .decodes = {}});
    }
  }
  return levels;
}

CodecRate rate_of_level(const LevelTrial& level, const Trial& trial, Bytes raw) {
  CodecRate rate{.part = trial.units.front()[level.parts - 1].part,
                 .raw = raw,
                 .wire = {},
                 .encode = timed(trial.encodes),
                 .decode = timed(level.decodes)};
  for (const StoredUnit& unit : trial.units) {
    for (std::size_t part = 0; part < level.parts; ++part) rate.wire += Bytes(unit[part].bytes.size());
  }
  return rate;
}

}  // namespace

Result<std::vector<CodecRate>> measure_codec(UnitCoder& coder, const KvPlanes& planes, const Geometry& geometry,
                                             std::size_t rounds, const Clock& clock) {
  SLUICE_ASSERT(rounds > 0);
  SLUICE_ASSIGN(KvPlanes decoded, KvPlanes::allocate(planes.shape()));
  std::vector<Trial> trials = possible_trials(coder, planes, geometry);
  std::vector<LevelTrial> levels = levels_of(trials);
  for (std::size_t round = 0; round < rounds; ++round) {
    for (Trial& trial : trials) SLUICE_TRY(encode_round(coder, planes, geometry, clock, trial));
    for (LevelTrial& level : levels) {
      SLUICE_TRY(decode_round(coder, trials[level.trial], geometry, clock, decoded, level));
    }
  }
  std::vector<CodecRate> rates;
  for (const LevelTrial& level : levels) {
    rates.push_back(rate_of_level(level, trials[level.trial], planes.shape().raw_bytes()));
  }
  return rates;
}

BitsPerSecond pays_below(const CodecRate& level, const CodecRate& raw, bool was_encoded) {
  if (level.wire >= raw.wire) return BitsPerSecond(0);
  const auto coding = [&](const CodecRate& rate) {
    return rate.decode.median + (was_encoded ? Duration(0) : rate.encode.median);
  };
  const Duration more = coding(level) - coding(raw);
  if (more.count() <= 0) return BitsPerSecond::max();
  return rate_of(raw.wire - level.wire, more);
}

}  // namespace sluice::integration
