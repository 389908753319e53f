// What the demo compares: two scenes, five schemes, four links, and the deadline that is stated for each pair of scene
// and link by one rule, before anything is measured on that link and without a look at any scheme.
// Place in the flow: pure values; the runner carries them out, the report prints them.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "base/quantity.h"
#include "base/result.h"

namespace sluice::integration::demo {

/// Hand-over: the prompt is prefilled now and pushed while it is. Reuse: it was prefilled before and its KV is fetched.
enum class Scene { kHandOver, kReuse };

/// What brings KV to the decode node. kRecompute brings nothing: the decode node prefills by itself.
enum class Scheme { kRecompute, kRaw, kInt8, kCacheGen, kSluice };

inline constexpr std::array kAllSchemes = {Scheme::kRecompute, Scheme::kRaw, Scheme::kInt8, Scheme::kCacheGen,
                                           Scheme::kSluice};

/// Names for people, and for keys of JSON ("hand_over", "reuse").  Threads: pure.
std::string_view scene_name(Scene scene);
std::string_view scene_key(Scene scene);
/// Name of a scheme in tables.  Threads: pure.
std::string_view scheme_name(Scheme scheme);
/// The policy by which the daemon knows it; "" for recompute.  Threads: pure.
std::string_view scheme_policy(Scheme scheme);

/// One link that the two daemons are joined by.
struct LinkSpec {
  std::string name;
  BitsPerSecond rate;
};

/// Reads "10Mbit", "1Gbit", "64kbit" or "1000000bit" (also written "10Mbit/s").
/// Errors:  kInvalidArgument.  Threads: pure.
Result<BitsPerSecond> parse_rate(std::string_view text);
/// The shortest way to write a rate, for instance "50 Mbit/s".  Threads: pure.
std::string rate_name(BitsPerSecond rate);
/// What the link stands for, in proportion: this model makes about 50 Mbit/s of KV on one core, as an 8B model on a GPU
/// makes about 10 Gbit/s.  Threads: pure.
std::string stands_for(BitsPerSecond rate);

/// What the stated deadline is made of.
struct DeadlineInputs {
  Scene scene = Scene::kReuse;
  BitsPerSecond rate;
  Bytes raw;              ///< size of the prompt's KV as fp16
  Duration recompute{0};  ///< the decode node's own time to first token
};

/// The deadline of a scene on a link, for every scheme alike:
///   reuse     = 0.4 x raw's ideal time on the link, at least 0.5 s, at most 0.9 x recompute
///   hand-over = 1.25 x recompute (the prefill itself) + 0.4 x raw's ideal time on the link, at least 0.5 s of it
/// Threads: pure.
Duration stated_deadline(const DeadlineInputs& inputs);
/// The rule above in one sentence, for reports.  Threads: pure.
std::string_view deadline_rule();

/// What the user asked of the demo.
struct DemoOptions {
  std::string model;    ///< a GGUF file; empty: the recorded engine
  std::string profile;  ///< a .slp file of that model; empty: none
  std::string prompt;   ///< a text file; empty: the built-in text
  std::vector<LinkSpec> links;
  std::vector<Scene> scenes = {Scene::kHandOver, Scene::kReuse};
  Duration rtt{0};
  Duration deadline{0};            ///< zero: by the rule
  std::string policy = "sluice";   ///< of the arm that is called Sluice
  std::string emulation = "auto";  ///< auto, namespaces or forwarder
  bool quick = false;
  bool scored = true;   ///< the engine computes logits, so KL can be measured; the recorded one does not
  std::string scratch;  ///< folder in which that of logs and configurations is made; empty: the system's
  bool keep = false;    ///< keep the folder of logs and configurations
  std::string json;     ///< file to write, empty: none
  std::string report = "sluice-demo.html";
};

/// The links of a full run: 10, 50, 200 Mbit/s and 1 Gbit/s. The quick run has 50 Mbit/s alone.  Threads: pure.
std::vector<LinkSpec> default_links(bool quick);

}  // namespace sluice::integration::demo
