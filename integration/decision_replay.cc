#include "integration/decision_replay.h"

#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "integration/decision_log.h"

namespace sluice::integration {
namespace {

constexpr std::size_t kMostPolicies = 256;
/// Of all open requests together; no honest log comes near it.
constexpr std::uint64_t kMostOpenUnits = std::uint64_t{1} << 22;

Error bad(const char* where) { return Error{ErrorCode::kBadField, 0, where}; }

/// One policy of the log, and the units that were announced to it.
struct Mind {
  std::unique_ptr<scheduler::Policy> policy;
  Instant last;
  std::map<RequestId, std::uint64_t> units;
};

class Replay {
 public:
  explicit Replay(ReplayResult& result) : result_(result) {}

  Result<void> take(DecisionRecord& record) {
    if (result_.is_full) return bad("record after the log was full");
    if (const auto* node = std::get_if<LoggedNode>(&record)) return begin(*node);
    if (!has_begun_) return bad("first record");
    if (const auto* policy = std::get_if<LoggedPolicy>(&record)) return add(*policy);
    if (auto* step = std::get_if<LoggedStep>(&record)) return run(*step);
    result_.is_full = true;
    return {};
  }

 private:
  Result<void> begin(const LoggedNode& node) {
    if (has_begun_) return bad("second node");
    has_begun_ = true;
    options_ = node.options;
    result_.program = node.program;
    return {};
  }

  Result<void> add(const LoggedPolicy& policy) {
    if (policy.number != minds_.size() || minds_.size() >= kMostPolicies) return bad("policy number");
    SLUICE_ASSIGN(auto made, scheduler::make_policy(policy.name, options_));
    minds_.push_back(Mind{std::move(made), Instant(), {}});
    result_.policies = minds_.size();
    return {};
  }

  Result<void> run(LoggedStep& step) {
    if (step.policy >= minds_.size()) return bad("policy number");
    Mind& mind = minds_[step.policy];
    if (step.now < mind.last) return bad("time");
    mind.last = step.now;
    SLUICE_TRY(count_units(mind, step.event));
    LoggedStep got{step.policy, step.now, step.event, {}, {}};
    mind.policy->on(step.event, step.now, got.actions);
    got.wake_at = mind.policy->wake_at();
    forget_ended(mind, got);
    ++result_.steps;
    result_.actions += got.actions.size();
    if (bytes_of(step) != bytes_of(got)) result_.difference = ReplayDifference{std::move(step), std::move(got)};
    return {};
  }

  Result<void> count_units(Mind& mind, const scheduler::Event& event) {
    const auto* accepted = std::get_if<scheduler::Accepted>(&event);
    if (accepted == nullptr) return {};
    std::uint64_t& units = mind.units[accepted->request];
    units += std::uint64_t{accepted->chunks} * accepted->groups;
    open_units_ += std::uint64_t{accepted->chunks} * accepted->groups;
    return open_units_ > kMostOpenUnits ? Result<void>(bad("units")) : Result<void>();
  }

  void forget_ended(Mind& mind, const LoggedStep& got) {
    const auto forget = [&](RequestId request) {
      const auto found = mind.units.find(request);
      if (found == mind.units.end()) return;
      open_units_ -= found->second;
      mind.units.erase(found);
    };
    if (const auto* closed = std::get_if<scheduler::RequestClosed>(&got.event)) forget(closed->request);
    for (const scheduler::Action& action : got.actions) {
      if (const auto* done = std::get_if<scheduler::Complete>(&action)) forget(done->request);
      if (const auto* done = std::get_if<scheduler::Recompute>(&action)) forget(done->request);
    }
  }

  static std::vector<std::byte> bytes_of(const LoggedStep& step) {
    std::vector<std::byte> bytes;
    encode_record(step, bytes);
    return bytes;
  }

  ReplayResult& result_;
  scheduler::PolicyOptions options_;
  std::vector<Mind> minds_;
  std::uint64_t open_units_ = 0;
  bool has_begun_ = false;
};

}  // namespace

ReplayResult replay(std::span<const std::byte> log) {
  ReplayResult result;
  Result<DecisionLogReader> reader = DecisionLogReader::open(log);
  if (!reader) {
    result.error = reader.error();
    return result;
  }
  Replay run(result);
  while (!result.difference) {
    result.offset = reader->offset();
    auto record = reader->next();
    if (!record) {
      result.error = record.error();
      break;
    }
    if (!record->has_value()) break;
    if (const Result<void> taken = run.take(**record); !taken) {
      result.error = taken.error();
      break;
    }
  }
  return result;
}

}  // namespace sluice::integration
