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

#include "codec/decoder.h"
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

/// Bytes, and square errors of all values of K and of V, of something coded.
struct Cost {
  std::uint64_t bytes = 0;
  std::array<double, 2> square_errors{};
};

/// Of the first r + 1 stages together, and of a base alone that has the step of the last of them.
struct NestingPrice {
  std::array<Cost, codec::kNestedStages> nested{};
  std::array<Cost, codec::kNestedStages> single{};
};

double square_error(const kernels::KernelTable& kernels, const kernels::UnitView& given, const kernels::UnitView& back,
                    std::size_t side) {
  const std::uint64_t tokens = given.shape.tokens.count();
  std::vector<float> wanted(tokens * given.shape.row_values()), found = wanted;
  double sum = 0;
  for (std::size_t layer = 0; layer < given.shape.layers.count(); ++layer) {
    kernels.gather((side == 0 ? given.k : given.v)[layer], given.shape, {0, tokens}, wanted);
    kernels.gather((side == 0 ? back.k : back.v)[layer], given.shape, {0, tokens}, found);
    for (std::size_t i = 0; i < wanted.size(); ++i) sum += std::pow(double{wanted[i]} - double{found[i]}, 2);
  }
  return sum;
}

/// Codes one unit and adds what each prefix of its stages costs, of as many as there are `costs`.
Result<void> add_prefixes(const Material& material, const UnitPlace& place, codec::Encoder& encoder,
                          std::span<Cost> costs) {
  const integration::KvSlice slice = material.planes->slice(place.tokens, place.layers);
  const kernels::UnitView unit = slice.view();
  const codec::UnitContext context = material.context(place);
  std::vector<std::byte> room(codec::Encoder::max_nested_size(unit.shape).count());
  SLUICE_ASSIGN(const codec::EncodedUnit coded, encoder.encode(unit, context, room));
  SLUICE_ASSIGN(codec::Decoder decoder, codec::Decoder::open(*material.kernels));
  SLUICE_ASSIGN(KvPlanes back, KvPlanes::allocate(unit.shape));
  const integration::MutableKvSlice out =
      back.mutable_slice({TokenIndex(0), unit.shape.tokens}, {LayerIndex(0), unit.shape.layers});
  const integration::KvSlice decoded =
      back.slice({TokenIndex(0), unit.shape.tokens}, {LayerIndex(0), unit.shape.layers});
  std::vector<std::span<const std::byte>> frames;
  std::uint64_t sum = 0;
  for (std::size_t stage = 0; stage < costs.size(); ++stage) {
    const codec::EncodedPart& part = coded.parts()[stage];
    frames.push_back(std::span(room).subspan(part.offset.count(), part.size.count()));
    sum += part.size.count();
    SLUICE_TRY(decoder.decode(frames, unit.shape, context, out.view()));
    costs[stage].bytes += sum;
    for (std::size_t side = 0; side < 2; ++side) {
      costs[stage].square_errors[side] += square_error(*material.kernels, unit, decoded.view(), side);
    }
  }
  return {};
}

Result<NestingPrice> price_of_nesting(const Material& material) {
  NestingPrice price;
  float divisor = 1;
  for (std::size_t stage = 0; stage < codec::kNestedStages; ++stage, divisor *= 3) {
    codec::EncoderOptions options;
    options.key_step /= divisor;
    options.value_step /= divisor;
    SLUICE_ASSIGN(codec::Encoder encoder, codec::Encoder::open(*material.kernels, options));
    for (const UnitPlace& place : material.units) {
      SLUICE_TRY(add_prefixes(material, place, encoder, std::span(price.single).subspan(stage, 1)));
      if (stage == 0) SLUICE_TRY(add_prefixes(material, place, encoder, price.nested));
    }
  }
  return price;
}

nlohmann::json told_costs(std::span<const Cost> costs) {
  nlohmann::json told = nlohmann::json::array();
  for (const Cost& cost : costs) told.push_back({{"bytes", cost.bytes}, {"square_errors", cost.square_errors}});
  return told;
}

void tell(bool json, const std::vector<LevelRate>& rates, const std::optional<NestingPrice>& nesting,
          const kernels::KvShape& shape) {
  nlohmann::json told = {{"levels", nlohmann::json::array()}};
  if (nesting) told["nesting"] = {{"nested", told_costs(nesting->nested)}, {"single", told_costs(nesting->single)}};
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
    const auto single = static_cast<double>(nesting->single[stage].bytes);
    std::printf("%zu stages take %+.2f %% more than one of the same step\n", stage + 1,
                100 * (static_cast<double>(nesting->nested[stage].bytes) / single - 1));
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
