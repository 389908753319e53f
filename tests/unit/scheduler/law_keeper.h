// Watches a policy from outside: applies every event and action to its own plain record and reports each broken law.
// It shares no code with the scheduler, so a mistake in the board's totals cannot hide itself.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "scheduler/policy.h"

namespace sluice::scheduler::testing_support {

/// What a kept law speaks of.
enum class PartFate { kOffered, kInFlight, kArrived, kLost };

class LawKeeper {
 public:
  LawKeeper(bool is_planner, PolicyOptions options) : is_planner_(is_planner), options_(options) {}

  void before(const Event& event);
  void after(const Actions& actions, Instant now);

  const std::vector<std::string>& broken() const { return broken_; }
  /// Granted and not arrived or failed, of requests that have not ended.
  std::vector<std::pair<UnitKey, Part>> in_flight() const;
  bool is_open(RequestId request) const { return requests_.contains(request); }
  std::size_t open_count() const { return requests_.size(); }

 private:
  struct Unit {
    Bytes raw;
    std::map<Part, PartFate> parts;
    std::map<Part, int> attempts;
    PartSizes sizes;
  };
  struct Request {
    RequestOpened opened;
    bool is_accepted = false;
    std::uint64_t expected = 0;
    std::uint32_t chunks = 0;
    std::uint32_t groups = 0;
    std::map<UnitKey, Unit> units;
  };

  void check_grant(const Grant& grant);
  void check_order(const Grant& grant);
  void check_complete(const Complete& complete);
  void end(RequestId request);
  void settle(UnitKey unit, Part part, bool has_arrived);
  bool is_needy(const Request& request) const;
  PartsPerMillion quality(const Request& request, const Unit& unit, bool counts_in_flight) const;
  void report(const std::string& law) { broken_.push_back(law); }

  bool is_planner_;
  PolicyOptions options_;
  std::map<RequestId, Request> requests_;
  std::set<RequestId> ended_;
  std::vector<std::string> broken_;
};

}  // namespace sluice::scheduler::testing_support
