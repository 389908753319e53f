// The seam behind which policies run: Sluice's own planner and the baselines that it is compared with. A policy is a
// pure state machine: no clock, no I/O, no thread, no floating point that decides. The same events with the same times
// give the same actions, in the daemon, in simulation and in replay.
#pragma once

#include <memory>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "scheduler/action.h"
#include "scheduler/cost.h"
#include "scheduler/event.h"
#include "scheduler/quality.h"

namespace sluice::scheduler {

/// Everything a policy may know about its node beforehand.
struct PolicyOptions {
  DecodeCosts decode;
  QualityCurve quality;
  /// Ingress rate that is assumed before anything is measured; a quarter of it when nothing is heard for long.
  BitsPerSecond nominal_rate{1'000'000'000};
  Duration nominal_rtt{1'000'000};
  /// The nominal rate is known (from the operator or the port), so that raw bypass may rely on it before the first
  /// measurement. Otherwise the first grants are bases, whatever the nominal rate says.
  bool nominal_is_trusted = false;
  /// Bytes in flight are kept within this many bandwidth-delay products, but never below two grants.
  std::uint32_t window_bdp = 3;
  Bytes smallest_window{256 * 1024};
  /// A part is granted at most this often in all.
  std::uint32_t attempts_per_part = 3;
  /// The owner carries out ComputeChunk: the front of a prompt may be computed while its back arrives.
  bool computes_front = false;
  /// How many of a million promised deadlines are to be kept; 0: nothing is promised.
  PartsPerMillion promise{0};
  /// Kept free before a deadline: an event loop's lateness.
  Duration deadline_guard{5'000'000};
};

/// One brain per ingress.
/// Threads: one at a time.
class Policy {
 public:
  virtual ~Policy() = default;

  /// Takes one event and appends what is to be done. `now` never goes back.
  virtual void on(const Event& event, Instant now, Actions& out) = 0;

  /// When the next Tick is due; Instant::never() when none is. Ask again after each on().
  virtual Instant wake_at() const = 0;

  /// As given to make_policy().
  virtual std::string_view name() const = 0;
};

/// Builds a policy by name:
///   sluice                      the planner
///   cachegen                    CacheGen's rule as in its paper
///   cachegen-artifact           as in its published code: an equal share of the deadline for each chunk
///   kvserve                     the soonest level that reaches the floor, one per request; the link is shared
///   cake                        8-bit codes from the back while the front is computed (where the owner computes);
///   shared lynx                        base and r1 of every unit, then r2 until the deadline; shared hicache raw,
///   first come first served, until a timeout; the rest is recomputed raw, lossless, int8         that part of every
///   unit, earliest deadline first raw-fifo, raw-fair, raw-drop  raw first come first served; shared; by deadline,
///   dropped when forecast late fp8                         8-bit codes first come first served: what engines send that
///   quantise KV fixed:<part>[+<part>...]    those of base, r1, r2, r3, raw, lossless, int8, earliest deadline first
///   everything                  all parts that are offered: what a store takes
///   recompute                   never transfers
/// Errors: kInvalidArgument for any other name, kInvalidArgument for options out of range (no workers,
/// zero rates).
Result<std::unique_ptr<Policy>> make_policy(std::string_view name, const PolicyOptions& options);

}  // namespace sluice::scheduler
