#include "metrics/counters.h"

#include <algorithm>
#include <array>
#include <map>
#include <mutex>
#include <set>

#include "metrics/series.h"

namespace sluice::metrics {
namespace {

/// Requests have no class yet; the label is there so that queries need not change when they do.
constexpr std::string_view kClass = "default";
constexpr std::string_view kOther = "other";
constexpr std::string_view kNone = "none";
/// Requests whose steps are remembered for naming what made them late.
constexpr std::size_t kMostTracked = 4096;

constexpr std::array<std::string_view, 8> kStages = {"queue",  "gather", "encode", "wire",
                                                     "verify", "decode", "inject", "prefill"};
constexpr std::array<std::string_view, 7> kOutcomes = {"ok",           "timeout",   "cancelled", "integrity",
                                                       "incompatible", "peer_lost", "failed"};
constexpr std::array<std::string_view, 5> kMissCauses = {"queue", "link", "codec", "prefill", "peer"};
constexpr std::array<std::string_view, 3> kPredictions = {"wire", "encode", "ttft"};
constexpr std::array<std::string_view, 2> kLinkStates = {"up", "down"};
constexpr std::array<std::string_view, 10> kFields = {"tls",  "name",   "version", "model",     "layout",
                                                      "rope", "engine", "profile", "heartbeat", "max_frame"};
constexpr std::array<std::string_view, 2> kDirections = {"send", "receive"};

std::string text(std::string_view word) { return std::string(word.empty() ? kNone : word); }
double seconds(Duration span) { return static_cast<double>(span.count()) * 1e-9; }
std::string direction(Side side) { return std::string(side == Side::kSend ? kDirections[0] : kDirections[1]); }
bool is_peer_loss(ErrorCode code) {
  return code == ErrorCode::kUnreachable || code == ErrorCode::kPeerLost || code == ErrorCode::kPeerSilent;
}

std::string_view outcome(ErrorCode code) {
  const int number = static_cast<int>(code);
  if (code == ErrorCode::kOk) return "ok";
  if (code == ErrorCode::kDeadlineMissed) return "timeout";
  if (is_peer_loss(code)) return "peer_lost";
  if (code == ErrorCode::kAborted || code == ErrorCode::kRejected || code == ErrorCode::kDraining) return "cancelled";
  if (number >= 200 && number < 300) return "integrity";
  if (number >= 300 && number < 400) return "incompatible";
  return "failed";
}

std::string_view miss_cause(Step step) {
  switch (step) {
    case Step::kQueue:
      return "queue";
    case Step::kWire:
      return "link";
    case Step::kPrefill:
      return "prefill";
    case Step::kGather:
    case Step::kEncode:
    case Step::kVerify:
    case Step::kDecode:
    case Step::kInject:
      return "codec";
  }
  return "link";
}

/// The rows of a unit are counted with the part that brings them first, not again with each refinement.
bool brings_rows(Part part) {
  return part != Part::kRefinement1 && part != Part::kRefinement2 && part != Part::kRefinement3;
}

std::vector<std::string> error_names() {
  std::vector<std::string> names;
  for (int number = 1; number < 1000; ++number) {
    const std::string_view name = error_name(static_cast<ErrorCode>(number));
    if (name != "unknown" && !name.empty()) names.emplace_back(name);
  }
  return names;
}

}  // namespace

class Counters::State {
 public:
  explicit State(CountersOptions options);

  void operator()(const SessionUp& event);
  void operator()(const SessionDown& event);
  void operator()(const HandshakeRefused& event);
  void operator()(const CircuitOpened& event);
  void operator()(const Decided& event);
  void operator()(const UnitMoved& event);
  void operator()(const UnitRefused& event);
  void operator()(const StepTimed& event);
  void operator()(const RequestEnded& event);
  void operator()(const FellBack& event);
  void operator()(const LeaseExpired& event);
  void operator()(const LinkMeasured& event);
  void operator()(const Predicted& event);
  // These have no series of their own: they are in the flight recorder.
  void operator()(const RequestOpened&) {}
  void operator()(const UnitOffered&) {}
  void operator()(const UnitGranted&) {}
  void operator()(const UnitDecoded&) {}
  void operator()(const RequestSealed&) {}
  void operator()(const SlotReleased&) {}

  std::mutex mutex;
  Series series;

 private:
  struct Peer {
    std::string name;
    std::string transport{kNone};
  };
  struct Longest {
    Step step = Step::kWire;
    Duration duration{0};
  };

  void declare_all();
  /// `other_` for a peer that is not up, or that came after options_.most_peers other names.
  const Peer& peer(PeerId id) const;
  void declare_peer(const Peer& peer);
  void set_link(const Peer& peer, bool is_up);
  std::string known(const std::vector<std::string>& words, std::string_view word) const;
  std::string_view cause_of_miss(const RequestEnded& event) const;

  CountersOptions options_;
  std::vector<std::string> causes_;
  std::map<PeerId, Peer> peers_;  // those that are up
  std::set<std::string, std::less<>> names_;
  Peer other_{std::string(kOther), std::string(kNone)};
  std::map<RequestId, Longest> longest_;
};

Counters::State::State(CountersOptions options) : options_(std::move(options)), causes_(error_names()) {
  declare_all();
}

void Counters::State::declare_all() {
  const BuildInfo& build = options_.build;
  series.set(Metric::kBuildInfo,
             {text(build.version), text(build.ucx), text(build.isa), text(build.codec), text(build.cuda)}, 1);
  const std::string kind(kClass);
  for (const std::string_view side : kDirections) series.declare(Metric::kTransferSeconds, {text(side), kind});
  for (const std::string_view stage : kStages) series.declare(Metric::kStageSeconds, {text(stage)});
  for (const std::string& choice : options_.decision_choices) {
    for (const std::string& reason : options_.decision_reasons) series.declare(Metric::kDecisions, {choice, reason});
  }
  series.declare(Metric::kSloSlackSeconds, {kind});
  for (const std::string_view cause : kMissCauses) series.declare(Metric::kSloMissed, {kind, text(cause)});
  for (const std::string_view what : kPredictions) series.declare(Metric::kPredictedOverActual, {text(what)});
  series.declare(Metric::kInflight, {kind});
  series.declare(Metric::kQueueBytes, {kind});
  for (const char* state : {"free", "pinned", "leased"}) series.declare(Metric::kPoolBytes, {state});
  series.declare(Metric::kLeaseExpired, {"time"});
  for (const std::string& cause : causes_) {
    series.declare(Metric::kIntegrityFailures, {cause});
    series.declare(Metric::kRetries, {cause});
    series.declare(Metric::kFallback, {cause});
    series.declare(Metric::kCircuitsOpened, {cause});
  }
  for (const std::string& reason : options_.decision_reasons) series.declare(Metric::kFallback, {reason});
  for (const std::string_view field : kFields) series.declare(Metric::kHandshakesRefused, {text(field)});
  series.declare(Metric::kHandshakesRefused, {text(kOther)});
  declare_peer(other_);
}

const Counters::State::Peer& Counters::State::peer(PeerId id) const {
  const auto found = peers_.find(id);
  return found != peers_.end() ? found->second : other_;
}

void Counters::State::declare_peer(const Peer& peer) {
  series.declare(Metric::kLinkBandwidth, {peer.name});
  series.declare(Metric::kLinkRtt, {peer.name});
  for (const std::string_view state : kLinkStates) series.declare(Metric::kLinkState, {peer.name, text(state)});
  for (const std::string_view side : kDirections) {
    for (const std::string_view end : kOutcomes) {
      series.declare(Metric::kTransfers, {text(side), peer.name, peer.transport, text(end)});
    }
    for (const char* kind : {"raw", "wire"}) {
      series.declare(Metric::kBytes, {text(side), peer.name, peer.transport, kind});
    }
  }
}

std::string Counters::State::known(const std::vector<std::string>& words, std::string_view word) const {
  return std::find(words.begin(), words.end(), word) != words.end() ? std::string(word) : std::string(kOther);
}

void Counters::State::set_link(const Peer& peer, bool is_up) {
  series.set(Metric::kLinkState, {peer.name, text(kLinkStates[0])}, is_up ? 1 : 0);
  series.set(Metric::kLinkState, {peer.name, text(kLinkStates[1])}, is_up ? 0 : 1);
}

void Counters::State::operator()(const SessionUp& event) {
  const bool is_known = names_.contains(event.name.view());
  if (!is_known && names_.size() >= options_.most_peers) return set_link(other_, true);
  names_.emplace(event.name.view());
  Peer& up = peers_[event.peer];
  up = Peer{text(event.name.view()), text(event.transport)};
  declare_peer(up);
  set_link(up, true);
  series.forget(Metric::kLinkInfo, up.name);
  series.set(Metric::kLinkInfo, {up.name, text(event.wanted), up.transport, text(event.reason)}, 1);
}

void Counters::State::operator()(const SessionDown& event) {
  const Peer down = peer(event.peer);
  peers_.erase(event.peer);
  const bool has_another =
      std::any_of(peers_.begin(), peers_.end(), [&](const auto& entry) { return entry.second.name == down.name; });
  set_link(down, has_another);
}

void Counters::State::operator()(const HandshakeRefused& event) {
  const bool is_known = std::find(kFields.begin(), kFields.end(), event.field) != kFields.end();
  series.add(Metric::kHandshakesRefused, {text(is_known ? event.field : kOther)}, 1);
}

void Counters::State::operator()(const CircuitOpened& event) {
  series.add(Metric::kCircuitsOpened, {known(causes_, error_name(event.error.code))}, 1);
}

void Counters::State::operator()(const Decided& event) {
  series.add(Metric::kDecisions,
             {known(options_.decision_choices, event.choice), known(options_.decision_reasons, event.reason)}, 1);
}

void Counters::State::operator()(const UnitMoved& event) {
  const Peer& other = peer(event.peer);
  const std::string side = direction(event.side);
  series.add(Metric::kBytes, {side, other.name, other.transport, "wire"}, static_cast<double>(event.wire.count()));
  if (!brings_rows(event.part)) return;
  series.add(Metric::kBytes, {side, other.name, other.transport, "raw"}, static_cast<double>(event.raw.count()));
}

void Counters::State::operator()(const UnitRefused& event) {
  const std::string cause = known(causes_, error_name(event.error.code));
  series.add(Metric::kIntegrityFailures, {cause}, 1);
  series.add(Metric::kRetries, {cause}, 1);
}

void Counters::State::operator()(const StepTimed& event) {
  series.observe(Metric::kStageSeconds, {text(kStages[static_cast<std::size_t>(event.step)])}, seconds(event.duration));
  if (!longest_.contains(event.request) && longest_.size() >= kMostTracked) return;
  Longest& longest = longest_[event.request];
  if (event.duration > longest.duration) longest = Longest{event.step, event.duration};
}

std::string_view Counters::State::cause_of_miss(const RequestEnded& event) const {
  if (is_peer_loss(event.error.code)) return "peer";
  const auto longest = longest_.find(event.request);
  return longest == longest_.end() ? "link" : miss_cause(longest->second.step);
}

void Counters::State::operator()(const RequestEnded& event) {
  const Peer& other = peer(event.peer);
  const std::string side = direction(event.side);
  const std::string kind(kClass);
  series.add(Metric::kTransfers, {side, other.name, other.transport, text(outcome(event.error.code))}, 1);
  series.observe(Metric::kTransferSeconds, {side, kind}, seconds(event.duration));
  if (event.side == Side::kReceive) {
    // The receiver alone owns the deadline; counting both sides would count each miss twice.
    series.observe(Metric::kSloSlackSeconds, {kind}, seconds(event.slack));
    const bool is_missed = event.slack.count() < 0 || event.error.code == ErrorCode::kDeadlineMissed;
    if (is_missed) series.add(Metric::kSloMissed, {kind, text(cause_of_miss(event))}, 1);
  }
  longest_.erase(event.request);
}

void Counters::State::operator()(const FellBack& event) {
  const std::string cause = known(causes_, event.cause);
  series.add(Metric::kFallback, {cause == kOther ? known(options_.decision_reasons, event.cause) : cause}, 1);
}

void Counters::State::operator()(const LeaseExpired&) { series.add(Metric::kLeaseExpired, {"time"}, 1); }

void Counters::State::operator()(const LinkMeasured& event) {
  const Peer& other = peer(event.peer);
  series.set(Metric::kLinkBandwidth, {other.name}, static_cast<double>(event.rate.count()) / 8);
  series.set(Metric::kLinkRtt, {other.name}, seconds(event.rtt));
}

void Counters::State::operator()(const Predicted& event) {
  if (event.actual.count() <= 0) return;
  const bool is_known = std::find(kPredictions.begin(), kPredictions.end(), event.what) != kPredictions.end();
  series.observe(Metric::kPredictedOverActual, {text(is_known ? event.what : kOther)},
                 seconds(event.predicted) / seconds(event.actual));
}

Counters::Counters(CountersOptions options) : state_(std::make_unique<State>(std::move(options))) {}
Counters::~Counters() = default;

void Counters::emit(const Event& event, Instant) {
  const std::lock_guard lock(state_->mutex);
  std::visit(*state_, event);
}

void Counters::set_pool(Bytes free, Bytes pinned, Bytes leased) {
  const std::lock_guard lock(state_->mutex);
  state_->series.set(Metric::kPoolBytes, {"free"}, static_cast<double>(free.count()));
  state_->series.set(Metric::kPoolBytes, {"pinned"}, static_cast<double>(pinned.count()));
  state_->series.set(Metric::kPoolBytes, {"leased"}, static_cast<double>(leased.count()));
}

void Counters::set_inflight(std::uint64_t requests) {
  const std::lock_guard lock(state_->mutex);
  state_->series.set(Metric::kInflight, {std::string(kClass)}, static_cast<double>(requests));
}

void Counters::set_queue(Bytes waiting) {
  const std::lock_guard lock(state_->mutex);
  state_->series.set(Metric::kQueueBytes, {std::string(kClass)}, static_cast<double>(waiting.count()));
}

Snapshot Counters::snapshot() const {
  const std::lock_guard lock(state_->mutex);
  return state_->series.snapshot();
}

}  // namespace sluice::metrics
