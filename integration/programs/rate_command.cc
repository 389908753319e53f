// `sluice codec rate`: what every unit of a cache would take at every level, told before anything is coded; then every
// unit is coded, and the error of what was told is measured. Without a profile also what a single stage of the same
// steps takes, so that the price of nesting is known.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "codec/encoder.h"
#include "codec/rate.h"
#include "integration/codec_inspection.h"
#include "integration/kv_container.h"
#include "integration/mapped_file.h"
#include "integration/profile_file.h"
#include "integration/programs/codec_files.h"
#include "integration/programs/command_line.h"
#include "integration/safetensors.h"
#include "kernels/table.h"

namespace sluice::programs {
namespace {

using integration::KvPlanes;
using integration::MappedFile;
using integration::UnitPlace;

/// A level, or lossless, over all units.
struct LevelRate {
  std::string name;
  std::uint64_t predicted = 0;
  std::uint64_t coded = 0;
  std::vector<double> errors;  ///< of every part of every unit, relative to its coded size

  void add(Bytes told, Bytes size) {
    predicted += told.count();
    coded += size.count();
    const auto exact = static_cast<double>(size.count());
    errors.push_back(std::fabs(static_cast<double>(told.count()) - exact) / exact);
  }
};

/// Value below which the share q of the sorted values lies.
double quantile(const std::vector<double>& sorted, double q) {
  const auto last = static_cast<double>(sorted.size() - 1);
  return sorted[static_cast<std::size_t>(std::ceil(q * last))];
}

nlohmann::json summary(std::vector<double> errors) {
  std::ranges::sort(errors);
  return {{"parts", errors.size()},
          {"error_median", quantile(errors, 0.5)},
          {"error_p99", quantile(errors, 0.99)},
          {"error_max", errors.back()}};
}

/// What all levels are measured on.
struct Material {
  const kernels::KernelTable* kernels = nullptr;
  const codec::Profile* profile = nullptr;
  integration::KvTensors tensors;
  std::vector<UnitPlace> units;
  const KvPlanes* planes = nullptr;

  codec::UnitContext context(const UnitPlace& unit) const {
    const std::uint64_t first = tensors.first_position.value();
    return {tensors.rope, TokenIndex(first + unit.tokens.first.value()), Tokens(first) + tensors.shape.tokens,
            unit.layers.first};
  }
};

/// What is coded beside what was told of it: the stages of a level, or lossless.
struct Trial {
  codec::Encoder encoder;
  std::optional<std::size_t> level;  ///< nothing: lossless
  LevelRate rate;
};

/// Every trial, its rate still empty: the levels of a profile, or the stages that need none.
Result<std::vector<Trial>> trials_of(const Material& material) {
  std::vector<Trial> trials;
  const auto add = [&](std::optional<std::size_t> level, std::string name) -> Result<void> {
    SLUICE_ASSIGN(codec::Encoder encoder,
                  codec::Encoder::open(*material.kernels, {.profile = material.profile, .level = level.value_or(0)}));
    trials.push_back({std::move(encoder), level, LevelRate{.name = std::move(name)}});
    return {};
  };
  for (std::size_t level = 0; material.profile != nullptr && level < material.profile->contents().levels.size();
       ++level) {
    SLUICE_TRY(add(level, material.profile->contents().levels[level].name));
  }
  SLUICE_TRY(add(std::nullopt, "lossless"));
  if (material.profile == nullptr) SLUICE_TRY(add(0, "nested"));
  return trials;
}

/// Codes one unit, of which the predictor was told, and adds what was told and what it took.
Result<void> add_unit(const kernels::UnitView& unit, const codec::UnitContext& context,
                      const codec::RatePredictor& predictor, Trial& trial) {
  std::vector<std::byte> room(std::max(codec::Encoder::max_nested_size(unit.shape),
                                       codec::Encoder::max_encoded_size(unit.shape, Part::kLossless))
                                  .count());
  if (!trial.level) {
    SLUICE_ASSIGN(const Bytes size, trial.encoder.encode_lossless(unit, context, room));
    trial.rate.add(predictor.lossless(), size);
    return {};
  }
  const codec::StageSizes told = predictor.stages(*trial.level);
  SLUICE_ASSIGN(const codec::EncodedUnit coded, trial.encoder.encode(unit, context, room));
  for (std::size_t i = 0; i < coded.stages; ++i) trial.rate.add(told.parts()[i], coded.parts()[i].size);
  return {};
}

Result<std::vector<LevelRate>> rates_of(const Material& material) {
  SLUICE_ASSIGN(std::vector<Trial> trials, trials_of(material));
  SLUICE_ASSIGN(codec::RatePredictor predictor,
                codec::RatePredictor::open(*material.kernels, {.profile = material.profile}));
  for (const UnitPlace& place : material.units) {
    const integration::KvSlice slice = material.planes->slice(place.tokens, place.layers);
    const codec::UnitContext context = material.context(place);
    SLUICE_TRY(predictor.measure(slice.view(), context));
    for (Trial& trial : trials) SLUICE_TRY(add_unit(slice.view(), context, predictor, trial));
  }
  std::vector<LevelRate> rates;
  for (Trial& trial : trials) rates.push_back(std::move(trial.rate));
  return rates;
}

/// Bytes of the first r + 1 stages together, and of a base alone that has the step of the last of them. Without a
/// profile both decode to the same values, but for the rounding of steps to bf16.
struct NestingPrice {
  std::array<std::uint64_t, codec::kNestedStages> nested{};
  std::array<std::uint64_t, codec::kNestedStages> single{};
};

Result<NestingPrice> price_of_nesting(const Material& material) {
  NestingPrice price;
  float divisor = 1;
  for (std::size_t stage = 0; stage < codec::kNestedStages; ++stage, divisor *= 3) {
    codec::EncoderOptions options;
    options.key_step /= divisor;
    options.value_step /= divisor;
    SLUICE_ASSIGN(codec::Encoder encoder, codec::Encoder::open(*material.kernels, options));
    std::vector<std::byte> room;
    for (const UnitPlace& place : material.units) {
      const integration::KvSlice slice = material.planes->slice(place.tokens, place.layers);
      room.resize(codec::Encoder::max_nested_size(slice.view().shape).count());
      SLUICE_ASSIGN(const codec::EncodedUnit coded, encoder.encode(slice.view(), material.context(place), room));
      price.single[stage] += coded.parts()[0].size.count();
      std::uint64_t sum = 0;
      for (std::size_t i = 0; stage == 0 && i < coded.stages; ++i) {
        sum += coded.parts()[i].size.count();
        price.nested[i] += sum;
      }
    }
  }
  return price;
}

void tell(bool json, const std::vector<LevelRate>& rates, const std::optional<NestingPrice>& nesting,
          const kernels::KvShape& shape) {
  nlohmann::json told = {{"levels", nlohmann::json::array()}};
  if (nesting) told["nesting"] = {{"nested_bytes", nesting->nested}, {"single_bytes", nesting->single}};
  std::vector<double> all;
  for (const LevelRate& rate : rates) {
    nlohmann::json row = summary(rate.errors);
    row["level"] = rate.name;
    row["errors"] = rate.errors;
    row["predicted_bits_per_value"] = integration::bits_per_value(rate.predicted, shape);
    row["coded_bits_per_value"] = integration::bits_per_value(rate.coded, shape);
    told["levels"].push_back(row);
    all.insert(all.end(), rate.errors.begin(), rate.errors.end());
  }
  told.update(summary(all));
  if (json) {
    std::printf("%s\n", told.dump().c_str());
    return;
  }
  for (const auto& row : told["levels"]) {
    std::printf("level %-15s predicted %6.3f, coded %6.3f bits per value; error by part: median %.2f %%, p99 %.2f %%\n",
                row["level"].get<std::string>().c_str(), row["predicted_bits_per_value"].get<double>(),
                row["coded_bits_per_value"].get<double>(), 100 * row["error_median"].get<double>(),
                100 * row["error_p99"].get<double>());
  }
  for (std::size_t stage = 1; nesting && stage < nesting->nested.size(); ++stage) {
    const auto single = static_cast<double>(nesting->single[stage]);
    std::printf("%zu stages take %+.2f %% more than one of the same step\n", stage + 1,
                100 * (static_cast<double>(nesting->nested[stage]) / single - 1));
  }
  std::printf("all %zu parts: median %.2f %%, p99 %.2f %%, max %.2f %%\n", all.size(),
              100 * told["error_median"].get<double>(), 100 * told["error_p99"].get<double>(),
              100 * told["error_max"].get<double>());
}

Result<void> measure_rates(const CodecArguments& arguments, bool json) {
  const kernels::KernelTable& kernels = kernels::available_kernels().front();
  SLUICE_ASSIGN(const std::optional<codec::Profile> profile, integration::read_profile(kernels, arguments.profile));
  SLUICE_ASSIGN(const MappedFile in, MappedFile::open(arguments.in));
  Material material{.kernels = &kernels, .profile = profile ? &*profile : nullptr};
  SLUICE_ASSIGN(material.tensors, integration::read_kv_tensors(in.bytes()));
  SLUICE_ASSIGN(const KvPlanes planes, integration::planes_of(material.tensors));
  material.planes = &planes;
  SLUICE_ASSIGN(material.units,
                integration::units_of({.shape = planes.shape(),
                                       .rope = material.tensors.rope,
                                       .chunk_tokens = Tokens(arguments.chunk_tokens),
                                       .group_layers = integration::group_layers_of(arguments, material.profile)}));
  SLUICE_ASSIGN(const std::vector<LevelRate> rates, rates_of(material));
  std::optional<NestingPrice> nesting;
  if (material.profile == nullptr) {
    SLUICE_ASSIGN(nesting, price_of_nesting(material));
  }
  tell(json, rates, nesting, planes.shape());
  return {};
}

}  // namespace

void add_rate_command(CLI::App& codec, Invocation& invocation) {
  CLI::App* command = codec.add_subcommand("rate", "sizes told before coding, and how far off they are");
  const auto arguments = std::make_shared<CodecArguments>();  // lives as long as the callback that shares it
  command->add_option("IN", arguments->in, "safetensors with k and v")->required();
  command->add_option("--profile", arguments->profile, ".slp file of the model: all of its levels");
  command->add_option("--chunk-tokens", arguments->chunk_tokens, "tokens of one unit")->check(CLI::Range(1, 4096));
  command->add_option("--group-layers", arguments->group_layers, "layers of one unit (6, or what the profile needs)")
      ->check(CLI::Range(1, 4096));
  command->callback([&invocation, arguments] {
    invocation.run = [&invocation, arguments] {
      const Result<void> outcome = measure_rates(*arguments, invocation.json);
      return outcome ? ExitCode::kOk : fail("codec rate " + arguments->in, outcome.error());
    };
  });
}

}  // namespace sluice::programs
