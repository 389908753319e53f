// Baselines that ask nothing: always the same parts of every unit, earliest deadline first, in the order of units; or
// always recompute. A hard deadline still ends them.
#pragma once

#include <string>
#include <vector>

#include "scheduler/board.h"

namespace sluice::scheduler {

/// Sends those of `parts` that the request wants, of every unit; without any, whatever is offered. Threads: one at a
/// time.
class FixedPolicy final : public Policy {
 public:
  FixedPolicy(std::string name, std::vector<Part> parts, const PolicyOptions& options);

  void on(const Event& event, Instant now, Actions& out) override;
  Instant wake_at() const override { return board_.earliest_last_call(); }
  std::string_view name() const override { return name_; }

 private:
  bool end_if_over(const RequestState& request, Instant now, Actions& out);
  bool grant_next(Instant now, Actions& out);

  std::string name_;
  std::vector<Part> parts_;
  bool takes_all_;
  Board board_;
};

/// Never transfers. Threads: one at a time.
class RecomputePolicy final : public Policy {
 public:
  explicit RecomputePolicy(const PolicyOptions& options) : board_(options) {}

  void on(const Event& event, Instant now, Actions& out) override;
  Instant wake_at() const override { return Instant::never(); }
  std::string_view name() const override { return "recompute"; }

 private:
  Board board_;
};

}  // namespace sluice::scheduler
