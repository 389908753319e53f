#include "tests/unit/scheduler/law_keeper.h"

#include <algorithm>

namespace sluice::scheduler::testing_support {

void LawKeeper::before(const Event& event) {
  if (const auto* opened = std::get_if<RequestOpened>(&event)) {
    if (requests_.contains(opened->request)) return;
    RequestOpened& known = requests_[opened->request].opened;
    known = *opened;
    for (std::size_t stage = 1; stage < kStageParts; ++stage) {
      if (!known.wanted[kAllParts[stage - 1]]) known.wanted[kAllParts[stage]] = false;
    }
  } else if (const auto* accepted = std::get_if<Accepted>(&event)) {
    const auto found = requests_.find(accepted->request);
    if (found == requests_.end() || found->second.is_accepted) return;
    found->second.is_accepted = true;
    found->second.chunks = accepted->chunks;
    found->second.groups = accepted->groups;
    found->second.expected = std::uint64_t{accepted->chunks} * accepted->groups;
  } else if (const auto* offered = std::get_if<Offered>(&event)) {
    const auto found = requests_.find(offered->unit.request);
    if (found == requests_.end() || !found->second.is_accepted) return;
    Request& request = found->second;
    if (offered->unit.chunk.value() >= request.chunks || offered->unit.group.value() >= request.groups) return;
    const bool is_of_use = std::any_of(kAllParts.begin(), kAllParts.end(), [&](Part part) {
      return request.opened.wanted[part] && !offered->sizes[part].is_zero();
    });
    // A unit of which nothing is wanted has not been offered.
    if (!is_of_use) return;
    Unit& unit = request.units[offered->unit];
    unit.raw = offered->raw;
    for (const Part part : kAllParts) {
      if (!request.opened.wanted[part] || offered->sizes[part].is_zero() || unit.parts.contains(part)) continue;
      unit.parts[part] = PartFate::kOffered;
      unit.sizes[part] = offered->sizes[part];
    }
  } else if (const auto* arrived = std::get_if<PartArrived>(&event)) {
    settle(arrived->unit, arrived->part, true);
  } else if (const auto* failed = std::get_if<PartFailed>(&event)) {
    settle(failed->unit, failed->part, false);
  } else if (const auto* closed = std::get_if<RequestClosed>(&event)) {
    if (requests_.contains(closed->request)) end(closed->request);
  } else if (const auto* sealed = std::get_if<Sealed>(&event)) {
    const auto found = requests_.find(sealed->request);
    if (found != requests_.end()) found->second.expected = std::min(found->second.expected, sealed->units.count());
  }
}

void LawKeeper::settle(UnitKey key, Part part, bool has_arrived) {
  const auto request = requests_.find(key.request);
  if (request == requests_.end()) return;
  const auto unit = request->second.units.find(key);
  if (unit == request->second.units.end()) return;
  const auto fate = unit->second.parts.find(part);
  if (fate == unit->second.parts.end() || fate->second != PartFate::kInFlight) return;
  const bool is_last = unit->second.attempts[part] >= static_cast<int>(options_.attempts_per_part);
  fate->second = has_arrived ? PartFate::kArrived : is_last ? PartFate::kLost : PartFate::kOffered;
}

void LawKeeper::after(const Actions& actions, Instant now) {
  for (const Action& action : actions) {
    if (const auto* grant = std::get_if<Grant>(&action)) check_grant(*grant);
    if (const auto* complete = std::get_if<Complete>(&action)) check_complete(*complete);
    if (const auto* recompute = std::get_if<Recompute>(&action)) {
      if (!requests_.contains(recompute->request)) report("terminal action for a request that is not open");
      end(recompute->request);
    }
    if (explain(action).empty()) report("an action without an explanation");
  }
  for (const auto& [id, request] : requests_) {
    if (!is_planner_ || request.opened.deadline_kind != DeadlineKind::kHard) continue;
    const Duration recompute = request.opened.recompute;
    const Instant end = request.opened.deadline + (recompute == Duration::max() ? Duration(0) : recompute * 4);
    if (now > end) report("open too long after a hard deadline: request " + std::to_string(id.value()));
  }
}

void LawKeeper::check_grant(const Grant& grant) {
  const auto request = requests_.find(grant.unit.request);
  if (request == requests_.end()) return report("grant for a request that is not open");
  const auto unit = request->second.units.find(grant.unit);
  if (unit == request->second.units.end()) return report("grant of a unit that was not offered");
  const auto fate = unit->second.parts.find(grant.part);
  if (fate == unit->second.parts.end()) return report("grant of a part that was not offered");
  if (fate->second != PartFate::kOffered) return report("grant of a part that is in flight, arrived or lost");
  if (grant.bytes != unit->second.sizes[grant.part]) report("grant with another size than offered");
  if (is_planner_) check_order(grant);
  const bool is_again = unit->second.attempts[grant.part] > 0;
  if (is_again != (grant.reason == Reason::kRetry)) report("a retry must be called one, and nothing else");
  fate->second = PartFate::kInFlight;
  if (++unit->second.attempts[grant.part] > static_cast<int>(options_.attempts_per_part)) report("too many attempts");
}

void LawKeeper::check_order(const Grant& grant) {
  const Request& request = requests_.at(grant.unit.request);
  const PartsPerMillion floor = std::max(request.opened.quality_floor, PartsPerMillion(1));
  const bool is_refinement = quality(request, request.units.at(grant.unit), true) >= floor;
  for (const auto& [id, other] : requests_) {
    if (!is_needy(other)) continue;
    if (is_refinement) return report("refinement before a base");
    const auto mine = std::pair(request.opened.deadline, grant.unit.request);
    if (std::pair(other.opened.deadline, id) < mine) return report("base out of deadline order");
  }
}

bool LawKeeper::is_needy(const Request& request) const {
  const PartsPerMillion floor = std::max(request.opened.quality_floor, PartsPerMillion(1));
  return std::any_of(request.units.begin(), request.units.end(), [&](const auto& entry) {
    const Unit& unit = entry.second;
    if (quality(request, unit, true) >= floor) return false;
    // What can be granted: a whole part, or the stage that follows those on their way.
    const auto is_offered = [&](Part part) {
      return unit.parts.contains(part) && unit.parts.at(part) == PartFate::kOffered;
    };
    for (std::size_t stage = 0; stage < kStageParts; ++stage) {
      const auto fate = unit.parts.find(kAllParts[stage]);
      if (fate != unit.parts.end() && (fate->second == PartFate::kInFlight || fate->second == PartFate::kArrived)) {
        continue;
      }
      if (is_offered(kAllParts[stage])) return true;
      break;
    }
    return is_offered(Part::kRaw) || is_offered(Part::kLossless) || is_offered(Part::kInt8);
  });
}

PartsPerMillion LawKeeper::quality(const Request& request, const Unit& unit, bool counts_in_flight) const {
  const QualityCurve& curve = request.opened.quality ? *request.opened.quality : options_.quality;
  const auto counts = [&](Part part) {
    const auto fate = unit.parts.find(part);
    if (fate == unit.parts.end()) return false;
    return fate->second == PartFate::kArrived || (counts_in_flight && fate->second == PartFate::kInFlight);
  };
  PartsPerMillion best(0);
  for (const Part part : {Part::kRaw, Part::kLossless, Part::kInt8}) {
    if (counts(part)) best = std::max(best, curve.points[part]);
  }
  for (std::size_t stage = 0; stage < kStageParts && counts(kAllParts[stage]); ++stage) {
    best = std::max(best, curve.points[kAllParts[stage]]);
  }
  return best;
}

void LawKeeper::check_complete(const Complete& complete) {
  const auto found = requests_.find(complete.request);
  if (found == requests_.end()) return report("terminal action for a request that is not open");
  const Request& request = found->second;
  if (request.units.size() < request.expected) report("complete with units missing");
  WideCount weighted = 0;
  std::uint64_t rows = 0;
  for (const auto& [key, unit] : request.units) {
    const PartsPerMillion reached = quality(request, unit, false);
    if (is_planner_ && reached < request.opened.quality_floor) report("complete below the floor");
    if (reached.is_zero()) report("complete with a unit of which nothing arrived");
    weighted += static_cast<WideCount>(reached.count()) * unit.raw.count();
    rows += unit.raw.count();
  }
  const std::uint64_t mean = rows == 0 ? 1'000'000 : static_cast<std::uint64_t>(weighted / rows);
  if (mean != complete.quality.count()) report("complete with another quality than what arrived");
  end(complete.request);
}

void LawKeeper::end(RequestId request) {
  if (!ended_.insert(request).second) report("two ends of one request");
  requests_.erase(request);
}

std::vector<std::pair<UnitKey, Part>> LawKeeper::in_flight() const {
  std::vector<std::pair<UnitKey, Part>> found;
  for (const auto& [id, request] : requests_) {
    for (const auto& [key, unit] : request.units) {
      for (const auto& [part, fate] : unit.parts) {
        if (fate == PartFate::kInFlight) found.emplace_back(key, part);
      }
    }
  }
  return found;
}

}  // namespace sluice::scheduler::testing_support
