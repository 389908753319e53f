#include "integration/demo/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

namespace sluice::integration::demo {

std::string_view scene_name(Scene scene) { return scene == Scene::kHandOver ? "hand-over" : "reuse"; }
std::string_view scene_key(Scene scene) { return scene == Scene::kHandOver ? "hand_over" : "reuse"; }

std::string_view scheme_name(Scheme scheme) {
  switch (scheme) {
    case Scheme::kRecompute:
      return "recompute";
    case Scheme::kRaw:
      return "raw fp16";
    case Scheme::kInt8:
      return "8-bit";
    case Scheme::kCacheGen:
      return "CacheGen's rule";
    case Scheme::kSluice:
      return "Sluice";
  }
  return "unknown";
}

std::string_view scheme_policy(Scheme scheme) {
  switch (scheme) {
    case Scheme::kRecompute:
      return "";
    case Scheme::kRaw:
      return "raw";
    case Scheme::kInt8:
      return "int8";
    case Scheme::kCacheGen:
      return "cachegen";
    case Scheme::kSluice:
      return "sluice";
  }
  return "";
}

Result<BitsPerSecond> parse_rate(std::string_view text) {
  constexpr std::pair<std::string_view, std::uint64_t> kUnits[] = {
      {"kbit", 1'000}, {"Mbit", 1'000'000}, {"Gbit", 1'000'000'000}, {"bit", 1}};
  const Error bad{ErrorCode::kInvalidArgument, 0, "link rate"};
  if (text.ends_with("/s")) text.remove_suffix(2);
  std::uint64_t number = 0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), number);
  std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  while (unit.starts_with(' ')) unit.remove_prefix(1);
  for (const auto& [name, scale] : kUnits) {
    if (status != std::errc{} || unit != name) continue;
    if (number == 0 || number > 1'000'000'000'000ULL / scale) return bad;
    return BitsPerSecond(number * scale);
  }
  return bad;
}

std::string rate_name(BitsPerSecond rate) {
  const std::uint64_t bits = rate.count();
  if (bits % 1'000'000'000 == 0) return fmt::format("{} Gbit/s", bits / 1'000'000'000);
  if (bits % 1'000'000 == 0) return fmt::format("{} Mbit/s", bits / 1'000'000);
  if (bits % 1'000 == 0) return fmt::format("{} kbit/s", bits / 1'000);
  return fmt::format("{} bit/s", bits);
}

std::string stands_for(BitsPerSecond rate) {
  // 10 Gbit/s of KV there for 50 Mbit/s here: a factor of 200.
  return fmt::format("as {:g} Gbit/s for an 8B model on a GPU", static_cast<double>(rate.count()) * 200.0 / 1e9);
}

Duration stated_deadline(const DeadlineInputs& inputs) {
  const Duration at_once = std::chrono::milliseconds(500);
  const Duration share = std::max(time_to_send(inputs.raw, inputs.rate) * 2 / 5, at_once);
  if (inputs.scene == Scene::kHandOver) return inputs.recompute * 5 / 4 + share;
  return std::min(share, inputs.recompute * 9 / 10);
}

std::string_view deadline_rule() {
  return "reuse: 0.4 x raw's ideal time on the link, at least 0.5 s and at most 0.9 x recompute; hand-over: "
         "1.25 x recompute (the prefill itself) + 0.4 x raw's ideal time on the link, at least 0.5 s of it; "
         "the same for every scheme";
}

std::vector<LinkSpec> default_links(bool quick) {
  std::vector<LinkSpec> links;
  for (const std::uint64_t megabits : {10, 50, 200, 1000}) {
    if (quick && megabits != 50) continue;
    const BitsPerSecond rate(megabits * 1'000'000);
    links.push_back({rate_name(rate), rate});
  }
  return links;
}

}  // namespace sluice::integration::demo
