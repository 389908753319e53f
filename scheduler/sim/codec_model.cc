#include "scheduler/sim/codec_model.h"

namespace sluice::scheduler::sim {
namespace {

constexpr Bytes kHeader{64};
constexpr std::uint64_t kRawMillibits = 16'000;

/// One part: what the harness measured of it.
struct Measured {
  Part part;
  std::uint64_t millibits;
  std::uint64_t quality_ppm;
};

/// Rates of a GPU that nobody has measured yet: 100 GB/s of rows from any coded part, 1 TB/s from raw ones.
DecodeCosts assumed_gpu() {
  DecodeCosts costs;
  costs.rate = PartTable<BitsPerSecond>(BitsPerSecond(800'000'000'000));
  costs.rate[Part::kRaw] = BitsPerSecond(8'000'000'000'000);
  costs.rate[Part::kInt8] = BitsPerSecond(4'000'000'000'000);
  costs.per_part = Duration(10'000);
  return costs;
}

template <std::size_t kCount>
CodecModel model_of(std::string_view name, const Measured (&stages)[kCount]) {
  constexpr Measured kWhole[] = {
      {Part::kRaw, kRawMillibits, 1'000'000}, {Part::kLossless, 13'600, 1'000'000}, {Part::kInt8, 8'253, 999'805}};
  CodecModel model{.name = name, .decode = assumed_gpu()};
  const auto add = [&](const Measured& one) {
    model.millibits[one.part] = one.millibits;
    model.quality.points[one.part] = PartsPerMillion(one.quality_ppm);
  };
  for (const Measured& stage : stages) add(stage);
  for (const Measured& whole : kWhole) add(whole);
  return model;
}

}  // namespace

PartSizes CodecModel::sizes(Bytes raw) const {
  PartSizes sizes;
  for (const Part part : kAllParts) {
    if (millibits[part] > 0) sizes[part] = raw * millibits[part] / kRawMillibits + kHeader;
  }
  return sizes;
}

CodecModel tier0() {
  return model_of(
      "T0",
      {{Part::kBase, 1'538, 848'704}, {Part::kRefinement1, 1'804, 973'910}, {Part::kRefinement2, 1'739, 998'308}});
}

CodecModel tier2() {
  return model_of("T2", {{Part::kBase, 449, 940'848},
                         {Part::kRefinement1, 441, 983'704},
                         {Part::kRefinement2, 685, 996'064},
                         {Part::kRefinement3, 909, 999'023}});
}

}  // namespace sluice::scheduler::sim
