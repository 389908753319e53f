#include "codec/profile.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "codec/byte_order.h"
#include "codec/coefficient_class.h"
#include "codec/frame.h"
#include "codec/rope_check.h"
#include "codec/sealed_digest.h"

namespace sluice::codec {
namespace {

// Offsets of FORMAT.md section 8.
constexpr std::size_t kMagicAt = 0, kVersionAt = 4, kTierAt = 6, kRopeStyleAt = 7, kLayersAt = 8, kHeadsAt = 12;
constexpr std::size_t kHeadDimAt = 16, kRopeDimsAt = 20, kRopeBaseAt = 24, kScalingAt = 32, kLevelsAt = 33;
constexpr std::size_t kTokenClassesAt = 34, kLowestAt = 35, kLayersBackAt = 36, kIntraAt = 37, kFlagsAt = 38;
constexpr std::size_t kFactorAt = 40, kLowAt = 44, kHighAt = 48, kOriginalAt = 52, kModelAt = 56, kFileSizeAt = 64;
constexpr std::size_t kDigestAt = 72, kLocalBaseAt = 80, kLocalPeriodAt = 88, kReservedAt = 89;

constexpr std::size_t kLevelSize = 64, kStepAt = 16, kUnitAt = 20, kStagesAt = 24, kQualityAt = 28;
constexpr std::uint8_t kHasClassifier = 1;
constexpr std::size_t kClassifierExtra = 3;
constexpr int kLargestTokenClass = 32;
constexpr std::uint64_t kSlots = 256;

// Numbers of elements of every section but the levels' classes.
struct SectionCounts {
  std::uint64_t class_frequencies = 0, per_channel = 0, bases = 0, predictor_scales = 0, predictors = 0;
  std::uint64_t classifier_scales = 0, classifier = 0;
};

SectionCounts section_counts(const ProfileContents& contents, bool has_classifier) {
  SectionCounts counts;
  const std::uint64_t width = contents.width();
  counts.class_frequencies = contents.layers.count() * contents.token_classes;
  counts.per_channel = contents.streams() * width;
  counts.bases = counts.per_channel * contents.block_width();
  if (contents.tier == Tier::kPredicted) {
    counts.predictor_scales = counts.per_channel;
    for (std::size_t stream = 0; stream < contents.streams(); ++stream) {
      counts.predictors += references(contents, stream).count * width * width;
    }
  }
  if (has_classifier) {
    counts.classifier_scales = counts.per_channel;
    counts.classifier = contents.layers.count() * (4 * width + kClassifierExtra);
  }
  return counts;
}

std::uint64_t class_count(const ProfileContents& contents, const ProfileLevel& level) {
  return level.stages.count() * contents.streams() * contents.token_classes * contents.width();
}

bool in_range(std::uint64_t value, std::uint64_t largest) { return value >= 1 && value <= largest; }

bool all_finite(std::span<const float> values) {
  return std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); });
}

bool all_positive(std::span<const float> values) {
  return std::all_of(values.begin(), values.end(), [](float value) { return std::isnormal(value) && value > 0; });
}

// What must hold before any size is computed.
const char* header_flaw(const ProfileContents& contents) {
  if (contents.tier < Tier::kHeads || contents.tier > Tier::kPredicted) return "profile tier";
  if (!in_range(contents.layers.count(), kMaxLayers) || !in_range(contents.kv_heads.count(), kMaxHeads)) {
    return "profile shape";
  }
  if (!in_range(contents.head_dim.count(), kMaxHeadDim)) return "profile shape";
  if (!is_valid_rope(contents.rope, contents.head_dim.count())) return "profile rope";
  if (!in_range(contents.token_classes, kMaxTokenClasses)) return "profile token classes";
  const int highest = contents.lowest_class + contents.token_classes - 1;
  if (contents.lowest_class < -kLargestTokenClass || highest > kLargestTokenClass) return "profile token classes";
  const bool predicts = contents.tier == Tier::kPredicted;
  if (!predicts && (contents.layers_back != 0 || contents.intra_every != 0)) return "profile prediction";
  if (predicts && (contents.layers_back > kMaxLayersBack || contents.intra_every == 0)) return "profile prediction";
  return nullptr;
}

const char* level_flaw(const ProfileLevel& level) {
  const auto is_name = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; };
  if (!in_range(level.name.size(), kMaxLevelName)) return "profile level name";
  if (!std::all_of(level.name.begin(), level.name.end(), is_name)) return "profile level name";
  // Far from overflow and underflow of fp32 for every token class and stage.
  if (!(level.step >= 0x1p-60F && level.step <= 0x1p60F)) return "profile level step";
  if (!(level.unit_magnitude >= 0.5F && level.unit_magnitude <= 1.5F)) return "profile level unit";
  if (!in_range(level.stages.count(), kNestedStages)) return "profile level stages";
  for (const StageQuality& quality : level.quality) {
    const std::array<float, 3> numbers{quality.bits_per_value, quality.kl_mean, quality.kl_p99};
    if (!all_finite(numbers)) return "profile level quality";
  }
  return nullptr;
}

const char* classes_flaw(const ProfileContents& contents, const ProfileLevel& level) {
  if (level.classes.size() != class_count(contents, level)) return "profile classes";
  const std::size_t base = level.classes.size() / level.stages.count();
  for (std::size_t i = 0; i < level.classes.size(); ++i) {
    const std::size_t known = i < base ? kCodedClasses : kClasses;
    if (level.classes[i] >= known && level.classes[i] != kSilentClass) return "profile classes";
  }
  return nullptr;
}

const char* frequencies_flaw(const ProfileContents& contents) {
  const std::size_t count = contents.token_classes;
  for (std::size_t layer = 0; layer < contents.layers.count(); ++layer) {
    const auto row = std::span(contents.class_frequencies).subspan(layer * count, count);
    const std::uint64_t sum = std::accumulate(row.begin(), row.end(), std::uint64_t{0});
    if (sum != kSlots || std::find(row.begin(), row.end(), 0) != row.end()) return "profile class frequencies";
  }
  return nullptr;
}

// nullptr when contents are whole, else what is wrong with them.
const char* flaw(const ProfileContents& contents) {
  if (const char* what = header_flaw(contents)) return what;
  if (!in_range(contents.levels.size(), kMaxProfileLevels)) return "profile levels";
  const SectionCounts counts = section_counts(contents, !contents.classifier.empty());
  if (contents.class_frequencies.size() != counts.class_frequencies) return "profile class frequencies";
  if (contents.means.size() != counts.per_channel || !all_finite(contents.means)) return "profile means";
  if (contents.weights.size() != counts.per_channel || !all_positive(contents.weights)) return "profile weights";
  if (contents.bases.size() != counts.bases) return "profile bases";
  if (contents.predictor_scales.size() != counts.predictor_scales || !all_finite(contents.predictor_scales)) {
    return "profile predictor scales";
  }
  if (contents.predictors.size() != counts.predictors) return "profile predictors";
  if (contents.classifier.size() != counts.classifier || !all_finite(contents.classifier)) return "profile classifier";
  if (contents.classifier_scales.size() != counts.classifier_scales || !all_finite(contents.classifier_scales)) {
    return "profile classifier scales";
  }
  if (const char* what = frequencies_flaw(contents)) return what;
  for (std::size_t i = 0; i < contents.levels.size(); ++i) {
    const ProfileLevel& level = contents.levels[i];
    if (const char* what = level_flaw(level)) return what;
    if (const char* what = classes_flaw(contents, level)) return what;
    for (std::size_t other = 0; other < i; ++other) {
      if (contents.levels[other].name == level.name) return "profile level name";
    }
  }
  return nullptr;
}

std::uint64_t sections_size(const ProfileContents& contents, bool has_classifier) {
  const SectionCounts counts = section_counts(contents, has_classifier);
  std::uint64_t size = padded(2 * counts.class_frequencies, 16) + 2 * padded(4 * counts.per_channel, 16);
  size += padded(2 * counts.bases, 16) + padded(4 * counts.predictor_scales, 16) + padded(2 * counts.predictors, 16);
  for (const ProfileLevel& level : contents.levels) size += padded(class_count(contents, level), 16);
  return size + padded(4 * counts.classifier_scales, 16) + padded(4 * counts.classifier, 16);
}

void write_header(const ProfileContents& contents, std::span<std::byte> file) {
  store(file, kMagicAt, kProfileMagic);
  store(file, kVersionAt, kProfileVersion);
  store(file, kTierAt, static_cast<std::uint8_t>(contents.tier));
  store(file, kRopeStyleAt, static_cast<std::uint8_t>(contents.rope.style));
  store(file, kLayersAt, static_cast<std::uint32_t>(contents.layers.count()));
  store(file, kHeadsAt, static_cast<std::uint32_t>(contents.kv_heads.count()));
  store(file, kHeadDimAt, static_cast<std::uint32_t>(contents.head_dim.count()));
  store(file, kRopeDimsAt, contents.rope.dims);
  store(file, kRopeBaseAt, contents.rope.base);
  store(file, kScalingAt, static_cast<std::uint8_t>(contents.rope.scaling.kind));
  store(file, kLevelsAt, static_cast<std::uint8_t>(contents.levels.size()));
  store(file, kTokenClassesAt, contents.token_classes);
  store(file, kLowestAt, contents.lowest_class);
  store(file, kLayersBackAt, contents.layers_back);
  store(file, kIntraAt, contents.intra_every);
  store(file, kFlagsAt, contents.classifier.empty() ? std::uint8_t{0} : kHasClassifier);
  store(file, kFactorAt, contents.rope.scaling.factor);
  store(file, kLowAt, contents.rope.scaling.low);
  store(file, kHighAt, contents.rope.scaling.high);
  store(file, kOriginalAt, contents.rope.scaling.original_tokens);
  store(file, kLocalBaseAt, contents.rope.local_base);
  store(file, kLocalPeriodAt, static_cast<std::uint8_t>(contents.rope.local_period));
  store(file, kModelAt, contents.model.value());
  store(file, kFileSizeAt, static_cast<std::uint64_t>(file.size()));
}

ProfileContents read_header(std::span<const std::byte> file) {
  ProfileContents contents;
  contents.tier = static_cast<Tier>(load<std::uint8_t>(file, kTierAt));
  contents.layers = Layers(load<std::uint32_t>(file, kLayersAt));
  contents.kv_heads = Heads(load<std::uint32_t>(file, kHeadsAt));
  contents.head_dim = HeadDim(load<std::uint32_t>(file, kHeadDimAt));
  contents.rope.style = static_cast<kernels::RopeStyle>(load<std::uint8_t>(file, kRopeStyleAt));
  contents.rope.dims = load<std::uint32_t>(file, kRopeDimsAt);
  contents.rope.base = load<double>(file, kRopeBaseAt);
  contents.rope.scaling = {.kind = static_cast<kernels::RopeScalingKind>(load<std::uint8_t>(file, kScalingAt)),
                           .factor = load<float>(file, kFactorAt),
                           .low = load<float>(file, kLowAt),
                           .high = load<float>(file, kHighAt),
                           .original_tokens = load<std::uint32_t>(file, kOriginalAt)};
  contents.rope.local_base = load<double>(file, kLocalBaseAt);
  contents.rope.local_period = load<std::uint8_t>(file, kLocalPeriodAt);
  contents.model = ContentHash(load<std::uint64_t>(file, kModelAt));
  contents.layers_back = load<std::uint8_t>(file, kLayersBackAt);
  contents.intra_every = load<std::uint8_t>(file, kIntraAt);
  contents.lowest_class = load<std::int8_t>(file, kLowestAt);
  contents.token_classes = load<std::uint8_t>(file, kTokenClassesAt);
  return contents;
}

void write_level(const ProfileLevel& level, std::span<std::byte> record) {
  std::memcpy(record.data(), level.name.data(), level.name.size());
  store(record, kStepAt, level.step);
  store(record, kUnitAt, level.unit_magnitude);
  store(record, kStagesAt, static_cast<std::uint8_t>(level.stages.count()));
  for (std::size_t i = 0; i < kNestedStages; ++i) {
    store(record, kQualityAt + 12 * i, level.quality[i].bits_per_value);
    store(record, kQualityAt + 12 * i + 4, level.quality[i].kl_mean);
    store(record, kQualityAt + 12 * i + 8, level.quality[i].kl_p99);
  }
}

ProfileLevel read_level(std::span<const std::byte> record) {
  ProfileLevel level;
  for (std::size_t i = 0; i < kMaxLevelName && record[i] != std::byte{0}; ++i) {
    level.name.push_back(static_cast<char>(record[i]));
  }
  level.step = load<float>(record, kStepAt);
  level.unit_magnitude = load<float>(record, kUnitAt);
  level.stages = Stages(load<std::uint8_t>(record, kStagesAt));
  for (std::size_t i = 0; i < kNestedStages; ++i) {
    level.quality[i] = {.bits_per_value = load<float>(record, kQualityAt + 12 * i),
                        .kl_mean = load<float>(record, kQualityAt + 12 * i + 4),
                        .kl_p99 = load<float>(record, kQualityAt + 12 * i + 8)};
  }
  return level;
}

// Visits every section in the order of the file. `visit` copies between a vector of `count` elements and the file.
template <typename Contents, typename Visit>
void for_each_section(Contents& contents, bool has_classifier, Visit visit) {
  const SectionCounts counts = section_counts(contents, has_classifier);
  visit(contents.class_frequencies, counts.class_frequencies);
  visit(contents.means, counts.per_channel);
  visit(contents.weights, counts.per_channel);
  visit(contents.bases, counts.bases);
  visit(contents.predictor_scales, counts.predictor_scales);
  visit(contents.predictors, counts.predictors);
  for (auto& level : contents.levels) visit(level.classes, class_count(contents, level));
  visit(contents.classifier_scales, counts.classifier_scales);
  visit(contents.classifier, counts.classifier);
}

template <typename T>
std::size_t bytes_of(const std::vector<T>& section) {
  return section.size() * sizeof(T);
}

std::uint64_t file_digest(const kernels::KernelTable& kernels, std::span<const std::byte> file) {
  return sealed_digest<kProfileHeaderSize>(kernels, file, file.size(), kDigestAt);
}

// Header and levels, and whether the file has just the length that they imply.
Result<ProfileContents> read_outline(std::span<const std::byte> file) {
  ProfileContents contents = read_header(file);
  const std::uint8_t flags = load<std::uint8_t>(file, kFlagsAt);
  const std::size_t levels = load<std::uint8_t>(file, kLevelsAt);
  if (const char* what = header_flaw(contents)) return Error{ErrorCode::kBadField, 0, what};
  if (!in_range(levels, kMaxProfileLevels) || flags > kHasClassifier) return Error{ErrorCode::kBadField, 0, "profile"};
  std::size_t at = kProfileHeaderSize;
  if (file.size() < at + levels * kLevelSize) return Error{ErrorCode::kBadLength, 0, "profile levels"};
  for (std::size_t i = 0; i < levels; ++i, at += kLevelSize) {
    contents.levels.push_back(read_level(file.subspan(at, kLevelSize)));
    if (const char* what = level_flaw(contents.levels.back())) return Error{ErrorCode::kBadField, 0, what};
  }
  if (file.size() != at + sections_size(contents, flags != 0)) return Error{ErrorCode::kBadLength, 0, "profile"};
  return contents;
}

}  // namespace

References references(const ProfileContents& contents, std::size_t stream) {
  References found;
  if (contents.tier != Tier::kPredicted) return found;
  const std::size_t layer = stream / 2;
  if (stream % 2 == 1) found.streams[found.count++] = stream - 1;
  const std::size_t reach = std::min<std::size_t>(contents.layers_back, layer % contents.intra_every);
  for (std::size_t back = 1; back <= reach; ++back) {
    found.streams[found.count++] = 2 * (layer - back);
    found.streams[found.count++] = 2 * (layer - back) + 1;
  }
  return found;
}

Result<std::vector<std::byte>> write_profile(const kernels::KernelTable& kernels, const ProfileContents& contents) {
  if (const char* what = flaw(contents)) return Error{ErrorCode::kInvalidArgument, 0, what};
  const bool has_classifier = !contents.classifier.empty();
  const std::size_t levels_end = kProfileHeaderSize + contents.levels.size() * kLevelSize;
  std::vector<std::byte> file(levels_end + sections_size(contents, has_classifier));
  write_header(contents, file);
  for (std::size_t i = 0; i < contents.levels.size(); ++i) {
    write_level(contents.levels[i], std::span(file).subspan(kProfileHeaderSize + i * kLevelSize, kLevelSize));
  }
  std::size_t at = levels_end;
  for_each_section(contents, has_classifier, [&](const auto& section, std::uint64_t) {
    if (!section.empty()) std::memcpy(file.data() + at, section.data(), bytes_of(section));
    at += padded(bytes_of(section), 16);
  });
  store(std::span(file), kDigestAt, file_digest(kernels, file));
  return file;
}

Result<Profile> Profile::parse(const kernels::KernelTable& kernels, std::span<const std::byte> file) {
  if (file.size() < kProfileHeaderSize) return Error{ErrorCode::kTruncated, 0, "profile header"};
  if (load<std::uint32_t>(file, kMagicAt) != kProfileMagic) return Error{ErrorCode::kBadMagic, 0, "profile"};
  if (load<std::uint16_t>(file, kVersionAt) != kProfileVersion) return Error{ErrorCode::kBadVersion, 0, "profile"};
  const std::uint64_t size = load<std::uint64_t>(file, kFileSizeAt);
  if (size > file.size()) return Error{ErrorCode::kTruncated, 0, "profile"};
  if (size < file.size()) return Error{ErrorCode::kTrailingBytes, 0, "profile"};
  if (file_digest(kernels, file) != load<std::uint64_t>(file, kDigestAt)) {
    return Error{ErrorCode::kDigestMismatch, 0, "profile"};
  }
  for (std::size_t i = kReservedAt; i < kProfileHeaderSize; ++i) {
    if (file[i] != std::byte{0}) return Error{ErrorCode::kBadField, 0, "profile header"};
  }
  Profile profile;
  SLUICE_ASSIGN(profile.contents_, read_outline(file));
  std::size_t at = kProfileHeaderSize + profile.contents_.levels.size() * kLevelSize;
  const bool has_classifier = load<std::uint8_t>(file, kFlagsAt) != 0;
  for_each_section(profile.contents_, has_classifier, [&](auto& section, std::uint64_t count) {
    section.resize(count);
    if (count != 0) std::memcpy(section.data(), file.data() + at, bytes_of(section));
    at += padded(bytes_of(section), 16);
  });
  if (const char* what = flaw(profile.contents_)) return Error{ErrorCode::kBadField, 0, what};
  const std::size_t width = profile.contents_.width();
  profile.predictor_at_.push_back(0);
  for (std::size_t stream = 0; stream < profile.contents_.streams(); ++stream) {
    const std::size_t numbers = references(profile.contents_, stream).count * width * width;
    profile.predictor_at_.push_back(profile.predictor_at_.back() + numbers);
  }
  profile.id_ = ContentHash(load<std::uint64_t>(file, kDigestAt));
  profile.file_size_ = Bytes(file.size());
  return profile;
}

Result<std::size_t> Profile::find_level(std::string_view name) const {
  for (std::size_t i = 0; i < contents_.levels.size(); ++i) {
    if (contents_.levels[i].name == name) return i;
  }
  return Error{ErrorCode::kNotFound, 0, "level of the profile"};
}

std::span<const std::uint8_t> Profile::classes(std::size_t level, std::size_t stage, std::size_t stream) const {
  const std::size_t size = contents_.token_classes * contents_.width();
  return std::span(contents_.levels[level].classes).subspan((stage * contents_.streams() + stream) * size, size);
}

std::span<const std::int16_t> Profile::basis(std::size_t stream) const {
  const std::size_t size = contents_.width() * contents_.block_width();
  return std::span(contents_.bases).subspan(stream * size, size);
}

std::span<const std::int16_t> Profile::predictor(std::size_t stream) const {
  const std::size_t first = predictor_at_[stream];
  return std::span(contents_.predictors).subspan(first, predictor_at_[stream + 1] - first);
}

}  // namespace sluice::codec
