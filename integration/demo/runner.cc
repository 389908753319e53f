#include "integration/demo/runner.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

namespace sluice::integration::demo {

namespace {

constexpr Duration kWarmUpDeadline = std::chrono::seconds(120);
/// From these rates on one measurement is mostly noise: a transfer is short, or a prefill hides it.
constexpr BitsPerSecond kNoisyReuse(1'000'000'000);
constexpr BitsPerSecond kNoisyHandOver(50'000'000);
constexpr std::size_t kNoisyRepeats = 3;
constexpr std::uint32_t kGreedyTokens = 40;
constexpr std::uint32_t kQuickTokens = 20;

std::size_t equal_prefix(const std::vector<std::int64_t>& left, const std::vector<std::int64_t>& right) {
  const auto ends = std::mismatch(left.begin(), left.end(), right.begin(), right.end());
  return static_cast<std::size_t>(ends.first - left.begin());
}

/// How many greedy tokens are compared.
std::uint32_t greedy_tokens(const DemoOptions& options) {
  return options.quick && options.scored ? kQuickTokens : kGreedyTokens;
}

Cell ask_for(Backend& backend, Scheme scheme, const ArmRequest& request) {
  Cell cell{.scheme = scheme};
  Result<ArmResult> answer = backend.ask(request);
  if (!answer) {
    cell.error = error_name(answer.error().code);
  } else if (answer->outcome == "failed") {
    cell.error = answer->error.empty() ? "failed" : answer->error;
  } else {
    cell.ttfts.push_back(answer->ttft);
    cell.result = std::move(*answer);
  }
  return cell;
}

/// One scene on one link.
class LinkRun {
 public:
  LinkRun(const DemoOptions& options, const std::string& text, Backend& backend, const Progress& progress)
      : options_(options), text_(text), backend_(backend), progress_(progress) {}

  LinkResult run(const SceneResult& scene, const LinkSpec& link) {
    scene_ = scene.scene;
    result_.link = link;
    result_.deadline = options_.deadline;
    if (options_.deadline.count() == 0) {
      result_.deadline =
          stated_deadline({.scene = scene_, .rate = link.rate, .raw = scene.raw, .recompute = scene.recompute.ttft()});
    }
    result_.cells.push_back(scene.recompute);
    for (const Scheme scheme : schemes()) {
      result_.cells.push_back(ask_for(backend_, scheme, request(scheme, greedy_tokens(options_))));
      compare(result_.cells.back());
      tell(result_.cells.back());
    }
    if (is_noisy()) repeat();
    if (scene_ == Scene::kHandOver) measure_store_and_forward();
    return std::move(result_);
  }

 private:
  bool is_noisy() const {
    return !options_.quick && result_.link.rate >= (scene_ == Scene::kHandOver ? kNoisyHandOver : kNoisyReuse);
  }

  std::vector<Scheme> schemes() const {
    if (options_.quick && scene_ == Scene::kHandOver) return {Scheme::kRaw, Scheme::kSluice};
    return {Scheme::kRaw, Scheme::kInt8, Scheme::kCacheGen, Scheme::kSluice};
  }

  ArmRequest request(Scheme scheme, std::uint32_t tokens) const {
    ArmRequest request{.text = text_,
                       .mode = scene_ == Scene::kHandOver ? "handover" : "reuse",
                       .policy = std::string(scheme == Scheme::kSluice ? options_.policy : scheme_policy(scheme)),
                       .deadline = result_.deadline,
                       .hard_deadline = scheme == Scheme::kSluice,
                       .generate = tokens};
    if (tokens == 1 || !options_.scored) return request;
    // Raw goes first. Where its logits are those of no hand-off bit by bit, they are this daemon's reference of them.
    const std::string reference(scene_key(scene_));
    if (scheme == Scheme::kRaw) {
      request.keep_reference = reference;
    } else if (const Cell* raw = result_.cell(Scheme::kRaw); raw != nullptr && raw->equal_logits) {
      request.score_against = reference;
    }
    return request;
  }

  void compare(Cell& cell) const {
    const Cell& reference = result_.cells.front();
    if (!cell.measured() || !reference.measured() || cell.result.approximate) return;
    cell.compared_tokens = reference.result.tokens.size();
    cell.equal_tokens = equal_prefix(cell.result.tokens, reference.result.tokens);
    cell.equal_logits = !cell.result.logits_hash.empty() && cell.result.logits_hash == reference.result.logits_hash;
    if (options_.scored && cell.equal_logits) cell.result.divergence = Divergence{.top1 = 1};
  }

  /// Raw and Sluice in turn, so that a slow moment of the machine meets both.
  void repeat() {
    for (std::size_t run = 1; run < kNoisyRepeats; ++run) {
      for (Cell& cell : result_.cells) {
        if (!cell.measured() || (cell.scheme != Scheme::kRaw && cell.scheme != Scheme::kSluice)) continue;
        const Cell again = ask_for(backend_, cell.scheme, request(cell.scheme, 1));
        if (again.measured()) cell.ttfts.push_back(again.ttfts.front());
      }
    }
  }

  /// The prompt's KV is all there by now: fetching it raw is what a node does that sends only after its prefill.
  void measure_store_and_forward() {
    if (options_.quick || result_.link.rate < kNoisyReuse) return;
    ArmRequest fetch = request(Scheme::kRaw, 1);
    fetch.mode = "reuse";
    const Result<ArmResult> answer = backend_.ask(fetch);
    if (answer && answer->outcome == "delivered") result_.store_and_forward = answer->ttft;
  }

  void tell(const Cell& cell) const {
    if (cell.error == error_name(ErrorCode::kAborted)) return;  // stopped: nothing was tried
    const std::string place =
        fmt::format("{:<9} {:>10}  {:<15}", scene_name(scene_), result_.link.name, scheme_name(cell.scheme));
    if (!cell.measured()) {
      progress_(fmt::format("{} failed: {}", place, cell.error));
      return;
    }
    const std::string late = result_.on_time(cell) ? "on time" : "late";
    progress_(fmt::format(
        "{} {:8.0f} ms  {} (deadline {:.0f} ms)  {:.2f} MB on the wire{}", place, in_milliseconds(cell.ttft()), late,
        in_milliseconds(result_.deadline), static_cast<double>(cell.result.wire.count()) / 1e6,
        cell.result.outcome == "recomputed" ? ", fell back to recompute: " + cell.result.reason : ""));
  }

  const DemoOptions& options_;
  const std::string& text_;
  Backend& backend_;
  const Progress& progress_;
  Scene scene_ = Scene::kReuse;
  LinkResult result_;
};

const std::string& text_of(const ScenePrompts& prompts, Scene scene) {
  return scene == Scene::kHandOver ? prompts.hand_over : prompts.reuse;
}

/// A hand-over of the scene's text that is not measured: it fills the prefill node's store and tells the size of raw.
Result<SceneResult> warm_up(Scene scene, const std::string& text, Backend& backend) {
  SLUICE_ASSIGN(ArmResult answer,
                backend.ask({.text = text, .mode = "handover", .policy = "raw", .deadline = kWarmUpDeadline}));
  if (answer.outcome != "delivered") return Error{ErrorCode::kEngineFailed, 0, "warm-up hand-over"};
  return SceneResult{.scene = scene, .raw = answer.raw, .recompute = {}, .links = {}};
}

/// No hand-off: the decode node prefills by itself.
Cell measure_recompute(const DemoOptions& options, const std::string& text, Backend& backend) {
  return ask_for(backend, Scheme::kRecompute,
                 {.text = text, .mode = "recompute", .deadline = kWarmUpDeadline, .generate = greedy_tokens(options)});
}

}  // namespace

Result<DemoResults> run_scenes(const DemoOptions& options, const ScenePrompts& prompts, Backend& backend,
                               const Progress& progress) {
  DemoResults results;
  results.quick = options.quick;
  results.scored = options.scored;
  SLUICE_TRY(backend.use_link(BitsPerSecond(0)));
  results.engine = backend.engine();
  results.emulation = backend.emulation();
  results.codec = options.profile.empty() ? "no profile (tier 0)"
                                          : "profile " + std::filesystem::path(options.profile).filename().string();
  progress("engine: " + results.engine);
  progress("link: " + results.emulation);
  for (const Scene scene : options.scenes) {
    progress(fmt::format("warming up {}: the prefill node computes the prompt once, not measured", scene_name(scene)));
    SLUICE_ASSIGN(SceneResult warm, warm_up(scene, text_of(prompts, scene), backend));
    progress(fmt::format("{}: the prompt's KV is {:.1f} MB as fp16", scene_name(scene),
                         static_cast<double>(warm.raw.count()) / 1e6));
    warm.recompute = measure_recompute(options, text_of(prompts, scene), backend);
    progress(
        warm.recompute.measured()
            ? fmt::format("{}: recompute on the decode node takes {:.0f} ms; measured once, since no link is in it",
                          scene_name(scene), in_milliseconds(warm.recompute.ttft()))
            : fmt::format("{}: recompute failed: {}", scene_name(scene), warm.recompute.error));
    results.scenes.push_back(std::move(warm));
  }
  for (const LinkSpec& link : options.links) {
    progress(fmt::format("-- {} ({}): the decode daemon starts fresh", link.name, stands_for(link.rate)));
    SLUICE_TRY(backend.use_link(link.rate));
    for (SceneResult& scene : results.scenes) {
      LinkRun run(options, text_of(prompts, scene.scene), backend, progress);
      scene.links.push_back(run.run(scene, link));
    }
    results.metrics.clear();
    backend.read_metrics(results);
  }
  return results;
}

}  // namespace sluice::integration::demo
