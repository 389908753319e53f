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

std::vector<LevelTrial> levels_of(const std::vector<Trial>& trials) {
  std::vector<LevelTrial> levels;
  for (std::size_t trial = 0; trial < trials.size(); ++trial) {
    for (std::size_t part = 0; part < trials[trial].units.front().size(); ++part) {
      levels.push_back({.trial = trial, .parts = part + 1, .decodes = {}});
    }
  }
  return levels;
}

/// Codes the units of some rows again and again.
class Rounds {
 public:
  Rounds(UnitCoder& coder, const KvPlanes& planes, const Geometry& geometry, const Clock& clock)
      : coder_(coder), planes_(planes), geometry_(geometry), clock_(clock) {}

  /// What these rows allow, the first unit encoded once, not timed.
  std::vector<Trial> possible_trials() {
    constexpr std::array kChoices = {PartChoice{.raw = true, .lossless = false, .int8 = false, .nested = false},
                                     PartChoice{.raw = false, .lossless = true, .int8 = false, .nested = false},
                                     PartChoice{.raw = false, .lossless = false, .int8 = true, .nested = false},
                                     PartChoice{.raw = false, .lossless = false, .int8 = false, .nested = true}};
    std::vector<Trial> trials;
    for (const PartChoice& choice : kChoices) {
      const Result<StoredUnit> first = coder_.encode(planes_, geometry_, unit(0), choice);
      if (first) trials.push_back({.choice = choice, .encodes = {}, .units = {*first}});
    }
    return trials;
  }

  Result<void> encode(Trial& trial) {
    trial.units.clear();
    const Instant start = clock_.now();
    for (std::size_t place = 0; place < geometry_.units().count(); ++place) {
      SLUICE_ASSIGN(StoredUnit made, coder_.encode(planes_, geometry_, unit(place), trial.choice));
      trial.units.push_back(std::move(made));
    }
    trial.encodes.push_back(clock_.now() - start);
    return {};
  }

  Result<void> decode(const Trial& trial, KvPlanes& into, LevelTrial& level) {
    const Instant start = clock_.now();
    for (std::size_t place = 0; place < trial.units.size(); ++place) {
      std::vector<const StoredPart*> parts;
      for (std::size_t part = 0; part < level.parts; ++part) parts.push_back(&trial.units[place][part]);
      SLUICE_TRY(coder_.decode(parts, geometry_, unit(place), into));
    }
    level.decodes.push_back(clock_.now() - start);
    return {};
  }

 private:
  UnitKey unit(std::size_t place) const { return geometry_.unit_at(RequestId(1), place); }

  UnitCoder& coder_;
  const KvPlanes& planes_;
  const Geometry& geometry_;
  const Clock& clock_;
};

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
                                             const MeasuredRounds& how) {
  SLUICE_ASSERT(how.rounds > 0);
  SLUICE_ASSIGN(KvPlanes decoded, KvPlanes::allocate(planes.shape()));
  Rounds rounds(coder, planes, geometry, *how.clock);
  std::vector<Trial> trials = rounds.possible_trials();
  std::vector<LevelTrial> levels = levels_of(trials);
  for (std::size_t round = 0; round < how.rounds; ++round) {
    for (Trial& trial : trials) SLUICE_TRY(rounds.encode(trial));
    for (LevelTrial& level : levels) SLUICE_TRY(rounds.decode(trials[level.trial], decoded, level));
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
