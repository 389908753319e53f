// One request of a model on a link under a policy: what the experiments about single requests repeat.
// The model is an 8B one with grouped queries: 128 KiB of KV a token in 16 bits.
#pragma once

#include <string>
#include <string_view>

#include "scheduler/sim/closed_loop.h"
#include "scheduler/sim/codec_model.h"

namespace sluice::scheduler::sim {

/// KV of one token.
inline constexpr Bytes kTokenRows{128 * 1024};

/// Prefill of an 8B model at 200 Tflop/s (an A100 or so): 80 us a token and 2.6 ns for each pair of tokens. Assumed.
PrefillCost fast_prefill();
/// The same at a quarter of that (an A40 or so, which CacheGen was measured on). Assumed.
PrefillCost slow_prefill();

/// Moves what a link does from the start of virtual time to the start of a job, a second later.
void begin_with_job(Link& link);

/// Everything about one run but the policy's name.
struct Trial {
  Link link;
  Job job;
  CodecModel codec;
  /// What the policy takes the link for before it has seen it.
  BitsPerSecond nominal{10'000'000'000};
  bool nominal_is_trusted = false;
  bool computes_front = true;
};

/// A request of so many tokens, in units of four layer groups and 256 tokens (more, where there would be more than 128
/// chunks), which can be recomputed at that cost.  Threads: pure.
Job request_of(Tokens tokens, const CodecModel& codec, const PrefillCost& prefill);
/// What the policy's options are in a trial.  Threads: pure.
PolicyOptions options_of(const Trial& trial);
/// Runs it cold: the policy has never seen the link. "cachegen-artifact" is told the link's rate.
/// Precondition: a name that make_policy() knows.  Threads: pure.
Outcome run_trial(std::string_view policy, const Trial& trial);
/// Quality if on time, else nothing; in [0, 1].
double utility_of(const Outcome& outcome, const Job& job);
/// The clairvoyant's.
double best_utility(const Trial& trial);

/// "25.1 %", and numbers of so many decimals.
std::string percent_text(double share);
std::string number_text(double value, int decimals);
/// "0.4 Gbit/s".
std::string rate_text(BitsPerSecond rate);

}  // namespace sluice::scheduler::sim
