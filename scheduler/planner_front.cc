// The planner's second end: how much of a request's front is computed here while its back arrives, and when.
#include "scheduler/planner.h"

#include <algorithm>

namespace sluice::scheduler {
namespace {

/// A computed front is planned with this part of its time to spare.
constexpr std::int64_t kComputeSpare = 16;
/// Offers of a prompt that the peer has come at once.
constexpr Duration kOfferWait{5'000'000};

}  // namespace

void Planner::grant_compute(Instant now, Actions& out) {
  if (board_.is_computing()) return;
  Listed* listed = board_.requests().first_computing();
  if (listed == nullptr) return;
  RequestState& request = listed->state;
  Inputs inputs = board_.inputs(request, now);
  inputs.bytes = listed->figures.floor_bytes;
  const PrefillCost& cost = *request.opened().prefill;
  inputs.predicted = prefill_time(cost, request.front_tokens(request.computed_chunks() + 1)) -
                     prefill_time(cost, request.front_tokens(request.computed_chunks()));
  board_.compute(request, inputs, out);
}

bool Planner::may_compute(const RequestState& request) const {
  const RequestOpened& opened = request.opened();
  return board_.options().computes_front && opened.prefill && opened.mode == Mode::kReuse;
}

bool Planner::waits_for_offers(const RequestState& request, Instant now) const {
  return may_compute(request) && !request.is_all_offered() && now < request.accepted_at() + kOfferWait;
}

bool Planner::is_reached_by_link(const RequestState& request, Instant limit, Instant now) const {
  const Road road{Bytes(0), board_.rate(now), now};
  for (const Way way : {Part::kBase, Part::kRaw, Part::kLossless, Part::kInt8}) {
    const auto work = target_work(board_, request, way);
    if (work && forecast(board_, request, *work, road) <= limit) return true;
  }
  return false;
}

void Planner::plan_front(RequestState& request, Instant now) {
  const RequestOpened& opened = request.opened();
  if (!may_compute(request) || !request.is_all_offered() || request.chunks() == 0) return;
  const Instant limit = time_limit(request).at;
  const Instant deadline = opened.deadline == Instant::never() ? limit : board_.last_call(request);
  const bool is_single_ended = request.reserved_chunks() == 0;
  if (is_single_ended && (board_.is_computing() || is_reached_by_link(request, limit, now))) return;
  const PrefillCost& cost = *opened.prefill;
  const Duration done = prefill_time(cost, request.front_tokens(request.computed_chunks()));
  const Instant begun = board_.computing() == request.id() ? board_.computing_since() : now;
  const auto finish = [&](std::uint32_t chunks) {
    const Duration work = prefill_time(cost, request.front_tokens(chunks)) - done;
    return begun + (work + work / kComputeSpare);
  };
  // The rest of the floor shrinks with each chunk that is computed instead.
  const BitsPerSecond rate = board_.rate(now);
  const Bytes floor = floor_bytes(board_, request);
  const std::uint64_t missing = request.below_floor_planned();
  const auto arrival = [&](std::uint32_t chunks) {
    const std::uint64_t units = std::uint64_t{chunks} * (request.units().size() / request.chunks());
    const std::uint64_t kept = std::uint64_t{request.reserved_chunks()} * (request.units().size() / request.chunks());
    const std::uint64_t rest = missing + kept > units ? missing + kept - units : 0;
    const Bytes bytes = missing == 0 ? Bytes(0) : floor / missing * rest;
    return now + time_to_send(board_.in_flight().bytes() + bytes, rate);
  };
  // Both are monotone: the last that is computed in time, or where the two ends meet, whichever is more.
  std::uint32_t low = request.computed_chunks();
  std::uint32_t high = request.chunks();
  while (low < high) {
    const std::uint32_t middle = low + (high - low + 1) / 2;
    const bool is_worth_it = finish(middle) <= deadline || finish(middle) <= arrival(middle - 1);
    if (is_worth_it) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  request.reserve(std::max(low, request.computed_chunks() + (board_.computing() == request.id() ? 1U : 0U)));
}

}  // namespace sluice::scheduler
