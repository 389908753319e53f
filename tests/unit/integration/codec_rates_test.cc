#include "integration/codec_rates.h"

#include <gtest/gtest.h>

#include "integration/engines/recorded/recording.h"
#include "kernels/table.h"

namespace sluice::integration {
namespace {

/// Every look at it takes a millisecond.
class TickingClock final : public Clock {
 public:
  Instant now() const override { return Instant() + std::chrono::milliseconds(++looks_); }

 private:
  mutable std::int64_t looks_ = 0;
};

std::vector<CodecRate> measured(std::size_t rounds) {
  recorded::Recording recording = recorded::load_recording(kernels::available_kernels().front(), {}).value();
  const Geometry geometry =
      Geometry::make(recording.planes.shape(), recording.description.rope, {Tokens(256), Layers(6)}).value();
  UnitCoder coder = UnitCoder::open().value();
  const TickingClock clock;
  return measure_codec(coder, recording.planes, geometry, {rounds, &clock}).value();
}

TEST(CodecRates, EveryLevelIsMeasuredAndALaterStageIsLarger) {
  const std::vector<CodecRate> rates = measured(2);
  std::vector<Part> levels;
  for (const CodecRate& rate : rates) {
    levels.push_back(rate.part);
    EXPECT_EQ(rate.encode.median, std::chrono::milliseconds(1));
    EXPECT_EQ(rate.decode.median, std::chrono::milliseconds(1));
    EXPECT_EQ(rate.encode.spread, Duration(0));
    EXPECT_EQ(rate.raw, rates.front().raw);
  }
  EXPECT_EQ(levels, (std::vector<Part>{Part::kRaw, Part::kLossless, Part::kInt8, Part::kBase, Part::kRefinement1,
                                       Part::kRefinement2}));
  EXPECT_LT(rates[3].wire, rates[4].wire);
  EXPECT_LT(rates[4].wire, rates[5].wire);
  EXPECT_LT(rates[5].wire, rates[0].wire);
}

CodecRate made_up(std::uint64_t wire, std::int64_t encode_us, std::int64_t decode_us) {
  return {.part = Part::kBase,
          .raw = Bytes(1'000'000),
          .wire = Bytes(wire),
          .encode = {.median = std::chrono::microseconds(encode_us), .spread = {}},
          .decode = {.median = std::chrono::microseconds(decode_us), .spread = {}}};
}

TEST(CodecRates, BelowTheBorderALevelIsSoonerThanRawAndAboveItLater) {
  const CodecRate raw = made_up(1'000'000, 100, 150);
  for (const std::uint64_t wire : {100'000U, 500'000U, 900'000U}) {
    for (const std::int64_t coding : {200, 1'000, 50'000}) {
      const CodecRate level = made_up(wire, coding, coding * 2);
      for (const bool was_encoded : {false, true}) {
        const auto total = [&](const CodecRate& rate, std::uint64_t bits) {
          return time_to_send(rate.wire, BitsPerSecond(bits)) + rate.decode.median +
                 (was_encoded ? Duration(0) : rate.encode.median);
        };
        const std::uint64_t border = pays_below(level, raw, was_encoded).count();
        EXPECT_LT(total(level, border * 99 / 100), total(raw, border * 99 / 100)) << wire << " " << coding;
        EXPECT_GT(total(level, border * 101 / 100), total(raw, border * 101 / 100)) << wire << " " << coding;
      }
    }
  }
}

TEST(CodecRates, ALevelWithoutSavingNeverPaysAndOneWithoutCostAlwaysDoes) {
  const CodecRate raw = made_up(1'000'000, 100, 100);
  EXPECT_TRUE(pays_below(raw, raw, true).is_zero());
  EXPECT_TRUE(pays_below(made_up(1'000'001, 1, 1), raw, false).is_zero());
  EXPECT_EQ(pays_below(made_up(10, 100, 100), raw, false), BitsPerSecond::max());
}

}  // namespace
}  // namespace sluice::integration
