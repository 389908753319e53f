#include "codec/inspection.h"

#include "codec/byte_order.h"
#include "codec/nested_layout.h"

namespace sluice::codec {

Result<std::vector<SectionSize>> frame_sections(const FrameView& frame) {
  std::vector<SectionSize> sections{{"header", Bytes(kFrameHeaderSize)}};
  const auto add = [&sections](std::string_view name, std::size_t size) {
    if (size != 0) sections.push_back({name, Bytes(size)});
  };
  if (!is_stage(frame.header.part)) {
    add("payload", frame.payload.size());
    return sections;
  }
  const NestedLayout layout = nested_layout(frame.header);
  SLUICE_ASSIGN(const DirectoryTotals totals, check_directory(layout, frame.payload));
  add("raw rows", layout.steps_at);
  add("steps, means, classes", layout.directory_at - layout.steps_at);
  add("directory", layout.states_at - layout.directory_at);
  add("lane states", layout.words_at - layout.states_at);
  add("words", 2 * totals.words);
  add("escapes", totals.escapes);
  return sections;
}

std::vector<SectionSize> profile_sections(const Profile& profile) {
  const ProfileContents& contents = profile.contents();
  std::vector<SectionSize> sections;
  std::uint64_t left = profile.file_size().count();
  const auto add = [&](std::string_view name, std::uint64_t size) {
    left -= size;
    if (size != 0) sections.push_back({name, Bytes(size)});
  };
  add("token class frequencies", padded(2 * contents.class_frequencies.size(), 16));
  add("means", padded(4 * contents.means.size(), 16));
  add("weights", padded(4 * contents.weights.size(), 16));
  add("bases", padded(2 * contents.bases.size(), 16));
  add("predictors", padded(4 * contents.predictor_scales.size(), 16) + padded(2 * contents.predictors.size(), 16));
  std::uint64_t classes = 0;
  for (const ProfileLevel& level : contents.levels) classes += padded(level.classes.size(), 16);
  add("classes", classes);
  add("token classifier",
      padded(4 * contents.classifier_scales.size(), 16) + padded(4 * contents.classifier.size(), 16));
  sections.insert(sections.begin(), {"header and levels", Bytes(left)});
  return sections;
}

}  // namespace sluice::codec
