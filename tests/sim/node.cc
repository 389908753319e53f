#include "tests/sim/node.h"

#include <algorithm>
#include <array>

namespace sluice::transport::simtest {
namespace {

constexpr Duration kReconnect = std::chrono::milliseconds(30);
constexpr Duration kLongestDeadline = std::chrono::milliseconds(900);
/// Alarms ring this late at most.
constexpr Duration kLateAlarm = std::chrono::milliseconds(3);
constexpr Duration kHold = std::chrono::milliseconds(8);

NodeIdentity identity_of(const RunPlan& plan, NodeNumber number) {
  const bool differs = number.place + 1 == plan.nodes;
  const auto hash = [&](std::uint64_t value, Skew skew) {
    return ContentHash(value + (differs && plan.skew == skew ? 100 : 0));
  };
  NodeIdentity identity;
  identity.name = SimNode::address(number.place);
  identity.epoch = Epoch(100 + 10 * number.place + number.life);
  identity.model = hash(1, Skew::kModel);
  identity.layout = hash(2, Skew::kLayout);
  identity.rope = hash(3, Skew::kRope);
  identity.engine = hash(4, Skew::kEngine);
  identity.profile = hash(5, Skew::kProfile);
  return identity;
}

std::string_view name_of(Skew skew) {
  constexpr std::array<std::string_view, 7> kNames{"", "version", "model", "layout", "rope", "engine", "profile"};
  return kNames.at(static_cast<std::size_t>(skew));
}

}  // namespace

SimNode::SimNode(sim::SimNetwork& network, const RunPlan& plan, NodeNumber number)
    : world_(network.world()), plan_(plan), number_(number), loop_(world_), fabric_(network, loop_) {
  EndpointOptions options = plan.endpoint;
  options.listen = address(number.place);
  auto opened = Endpoint::open({loop_, fabric_, nullptr, world_, book_, static_cast<SessionHandler&>(*this)}, options,
                               identity_of(plan, number));
  SLUICE_ASSERT(opened.has_value());
  endpoint_ = std::move(opened).value();
}

void SimNode::keep_connected(std::uint32_t peer) {
  if (retired_) return;
  endpoint_->connect(address(peer), [this, peer](Result<Session*> session) {
    check_connected(session);
    if (session) {
      own_session_ = *session;
    } else {
      loop_.at(world_.now() + kReconnect, [this, peer] { keep_connected(peer); });
    }
  });
}

// V1: who differs is refused, by the name of the field, and nobody else is.
void SimNode::check_connected(const Result<Session*>& session) const {
  if (session) {
    if (!book_.up.contains(*session)) broken("connected to a session that is not up");
    return;
  }
  const ErrorCode code = session.error().code;
  const bool is_refusal = code == ErrorCode::kProfileMismatch ||
                          (code >= ErrorCode::kIncompatibleVersion && code <= ErrorCode::kIncompatibleEngine);
  if (is_refusal && plan_.skew == Skew::kNone) broken("a greeting was refused with {}", static_cast<int>(code));
  // Both nodes of a pair know at once why not, when nothing else comes between.
  const bool is_told = plan_.nodes > 2 || plan_.skew == Skew::kNone || plan_.skew == Skew::kVersion || is_refusal;
  const bool has_time = code != ErrorCode::kPeerSilent;
  if (!is_told && has_time && plan_.never_stalls() && !retired_)
    broken("a refusal arrives as error {}", static_cast<int>(code));
}

Session* SimNode::any_session() const {
  if (book_.up.empty() || endpoint_ == nullptr) return nullptr;
  // By the order in which they came up: that of addresses would differ from run to run.
  std::map<std::uint64_t, Session*> by_age;
  for (const auto& [session, number] : book_.up) by_age[number] = session;
  return std::next(by_age.begin(), static_cast<std::ptrdiff_t>(world_.between(0, by_age.size() - 1)))->second;
}

void SimNode::open_request() {
  Session* const session = any_session();
  if (session == nullptr) return;
  OpenRequest open;
  open.request = RequestId((number_.place + 10 * number_.life) * 1'000'000U + ++opened_);
  open.remaining = world_.between(plan_.shortest_deadline, plan_.longest_deadline);
  open.tokens = {TokenId(1), TokenId(2)};
  Wanted own;
  own.session = session;
  own.deadline = world_.now() + open.remaining;
  const Result<void> opened = session->open(open);
  if (!opened) {
    const bool is_full = unsettled(*session) >= plan_.endpoint.max_requests_per_session;
    if (opened.error().code == ErrorCode::kQueueFull && !is_full) broken("open: full before its limit");
    if (opened.error().code == ErrorCode::kDraining && !book_.goaways.contains(session)) broken("open: not draining");
    return;
  }
  if (book_.goaways.contains(session)) broken("open: a peer that drains takes no requests");
  book_.wanted[open.request] = own;
  check_bounded(*session);
  if (world_.one_in(8)) misuse_as_receiver(*session, open);
  if (plan_.calm || !world_.one_in(6)) return;
  later(*session, open.remaining, [this, session, request = open.request] {
    Wanted& running = book_.wanted.at(request);
    if (running.ended) return;
    end_wanted(request, running);
    session->abort(request, world_.one_in(2) ? ErrorCode::kOk : ErrorCode::kEngineFailed);
    session->finish(request);  // changes nothing any more
    if (book_.reported(request) == ErrorCode::kOk) broken("event: aborted {} ended well", request.value());
    book_.check_leases_ended(request);
  });
}

// Requests of a session that may still be remembered: until their end has been said for the last time.
std::size_t SimNode::unsettled(const Session& session) const {
  const auto counts = [&](const auto& entry) {
    const Wanted& own = entry.second;
    const Instant said = std::max(own.ended_at, loop_.paused_until()) + plan_.endpoint.heartbeat * 13;
    return own.session == &session && (!own.ended || world_.now() < said);
  };
  return static_cast<std::size_t>(std::count_if(book_.wanted.begin(), book_.wanted.end(), counts));
}

// L3: no session has more requests than the limit, in either direction.
void SimNode::check_bounded(const Session& session) const {
  const auto wanted = std::count_if(book_.wanted.begin(), book_.wanted.end(), [&](const auto& entry) {
    return entry.second.session == &session && !entry.second.ended;
  });
  const auto held = std::count_if(book_.held.begin(), book_.held.end(),
                                  [&](const auto& entry) { return entry.first.first == &session; });
  const auto most = static_cast<std::ptrdiff_t>(plan_.endpoint.max_requests_per_session);
  if (wanted > most || held > most) broken("a session has {} and {} requests", wanted, held);
}

void SimNode::misuse_as_receiver(Session& session, const OpenRequest& open) {
  const UnitKey unit{open.request, {}, {}};
  expect(ErrorCode::kAlreadyExists, session.open(open), "second open", open.request);
  expect(ErrorCode::kNotFound, session.grant(unit, Part::kBase, Bytes(1)), "grant before accept", open.request);
  OpenRequest late = open;
  late.request = RequestId(open.request.value() + 500'000);
  late.remaining = Duration(0);
  expect(ErrorCode::kInvalidArgument, session.open(late), "open without time", late.request);
  session.finish(late.request);
  session.abort(late.request, ErrorCode::kAborted);
}

void SimNode::announce() {
  Session* const session = any_session();
  if (session == nullptr) return;
  Announce announce;
  announce.request = RequestId(world_.between(1, 1'000));
  announce.remaining = kLongestDeadline;
  announce.tokens = {TokenId(static_cast<std::int32_t>(world_.between(1, 1'000)))};
  (void)session->announce(announce);
}

void SimNode::drain() {
  book_.is_draining = true;
  endpoint_->drain();
}

void SimNode::close() {
  book_.is_draining = true;
  endpoint_->async_close([this] { loop_.post([this] { endpoint_.reset(); }); });
}

void SimNode::check_quiet() const {
  for (const auto& [request, own] : book_.wanted) {
    if (!own.ended) broken("quiet: no terminal call for request {}", request.value());
    if (plan_.calm && own.arrived.empty()) broken("calm: request {} did not complete", request.value());
  }
  if (!book_.held.empty()) {
    broken("quiet: no terminal call for served request {}", book_.held.begin()->first.second.value());
  }
  book_.check_reported();
  if (endpoint_ == nullptr) return;
  if (holds_ == 0 && !endpoint_->ring_used().is_zero()) broken("quiet: slots did not come back");
  if (endpoint_->running_requests() != 0) broken("quiet: requests are counted as running");
  const bool is_connected = book_.ups == 2 && own_session_ != nullptr;
  if (plan_.calm && !is_connected) broken("calm: {} sessions came up", book_.ups);
}

// L3: all that is leased or held fits the ring, and nothing else takes room in it.
void SimNode::check_ring(const char* when) const {
  const Bytes used = endpoint_->ring_used();
  if (used > plan_.endpoint.ring) broken("{}: {} bytes of the ring are used", when, used.count());
  if (used.is_zero() != book_.slots.empty()) broken("{}: {} slots in {} bytes", when, book_.slots.size(), used.count());
  if (book_.slots.size() > plan_.endpoint.slots) broken("{}: {} slots are leased", when, book_.slots.size());
}

void SimNode::on_up(Session& session, const Hello& remote) {
  if (!book_.up.emplace(&session, ++book_.ups).second) broken("on_up twice");
  if (remote.identity.epoch.value() < 100 || session.remote() != remote) broken("on_up with another greeting");
  // Whose version is changed on the way believes itself to be as the others.
  const bool skewed_here = number_.place + 1 == plan_.nodes;
  if (skewed_here && plan_.skew == Skew::kVersion) return;
  const bool skewed_there = remote.identity.name == address(plan_.nodes - 1);
  if (plan_.skew != Skew::kNone && skewed_here != skewed_there) {
    broken("a session with a node of another {} came up", name_of(plan_.skew));
  }
}

void SimNode::on_down(Session& session, Error error) {
  ++book_.downs;
  if (error.code == ErrorCode::kOk) broken("on_down without a reason");
  book_.check_down(session);
  std::erase_if(waiting_, [&](const auto& entry) { return book_.wanted.at(entry.first.request).session == &session; });
  std::erase_if(book_.wanted, [&](const auto& entry) { return entry.second.session == &session; });
  if (&session != own_session_) return;
  own_session_ = nullptr;
  loop_.at(world_.now() + kReconnect, [this] { keep_connected((number_.place + 1) % plan_.nodes); });
}

void SimNode::on_goaway(Session& session) {
  ++book_.goaway_calls;
  if (!book_.up.contains(&session)) broken("on_goaway on a session that is down");
  if (!book_.goaways.insert(&session).second) broken("on_goaway twice");
}

void SimNode::on_announce(Session& session, const Announce& announce) {
  ++book_.announce_calls;
  if (!book_.up.contains(&session)) broken("on_announce on a session that is down");
  book_.announced = announce;
}

void SimNode::later(Session& session, Duration longest, std::function<void()> task) {
  loop_.at(world_.now() + world_.between(Duration(0), longest),
           [this, &session, up = book_.up.at(&session), task = std::move(task)] {
             const auto still = book_.up.find(&session);
             if (still != book_.up.end() && still->second == up) task();
           });
}

void SimNode::check_in_time(Instant deadline, const char* side, RequestId request) const {
  const bool slept = loop_.paused_until() + kLateAlarm >= deadline;
  if (world_.now() > deadline + kLateAlarm && !slept && !retired_) {
    broken("{}: request {} ended after its deadline", side, request.value());
  }
}

void SimNode::end_wanted(RequestId request, Wanted& own) {
  check_in_time(own.deadline, "receiver", request);
  own.ended = true;
  own.ended_at = world_.now();
}

void SimNode::on_accept(Session& session, RequestId request, const OpenAck& shape) {
  Wanted& own = book_.running(session, request, "on_accept");
  if (!own.units.is_zero()) broken("on_accept twice for request {}", request.value());
  ++book_.calls[request].accepts;
  own.units = shape.units;
  const UnitKey outside{request, ChunkIndex(kMostChunks), {}};
  if (world_.one_in(8))
    expect(ErrorCode::kNotFound, session.grant(outside, Part::kBase, Bytes(1)), "grant outside", request);
}

void SimNode::on_offer(Session& session, const Offer& offer) {
  Wanted& own = book_.running(session, offer.unit.request, "on_offer");
  if (own.units.is_zero()) broken("on_offer before on_accept of request {}", offer.unit.request.value());
  ++book_.calls[offer.unit.request].offers;
  for (const PartSize& part : offer.parts) {
    if (!own.offered.insert({{offer.unit, part.part}, part.size}).second) continue;  // it came twice
    if (!world_.one_in(8)) {
      grant_or_wait(session, offer.unit, part);
      continue;
    }
    later(session, kProduce, [this, &session, unit = offer.unit, part] { grant_or_wait(session, unit, part); });
  }
}

void SimNode::grant_or_wait(Session& session, UnitKey unit, const PartSize& part) {
  Wanted& own = book_.wanted.at(unit.request);
  if (own.ended) return;
  own.granted.insert({unit, part.part});  // first: the answer may come inside the call
  const Result<void> granted = session.grant(unit, part.part, part.size);
  if (granted) {
    check_ring("grant");
    if (world_.one_in(8)) {
      expect(ErrorCode::kAlreadyExists, session.grant(unit, part.part, part.size), "second grant", unit.request);
    }
    return;
  }
  own.granted.erase({unit, part.part});
  if (granted.error().code != ErrorCode::kNoSlot) return;
  if (book_.slots.empty()) broken("grant: no slot, though none is leased");
  waiting_.emplace_back(unit, part);
}

void SimNode::on_slots_free(Session& session) {
  std::vector<std::pair<UnitKey, PartSize>> again;
  again.swap(waiting_);
  for (const auto& [unit, part] : again) {
    if (book_.wanted.at(unit.request).session == &session) {
      grant_or_wait(session, unit, part);
    } else {
      waiting_.emplace_back(unit, part);
    }
  }
}

void SimNode::on_part(Session& session, UnitKey unit, Part part, SlotHold hold) {
  Wanted& own = book_.running(session, unit.request, "on_part");
  if (!own.granted.contains({unit, part})) broken("on_part that was not granted, request {}", unit.request.value());
  if (!own.arrived.insert({unit, part}).second) broken("on_part twice for request {}", unit.request.value());
  if (hold.bytes().size() != own.offered.at({unit, part}).count()) broken("on_part of {} bytes", hold.bytes().size());
  book_.hold(unit, part, hold.bytes());
  check_ring("on_part");
  ++book_.calls[unit.request].parts;
  ++book_.delivered;
  ++holds_;
  const auto held = std::make_shared<SlotHold>(std::move(hold));
  loop_.at(world_.now() + world_.between(Duration(0), kHold), [this, held, unit, part] { let_go(held, unit, part); });
  finish_if_whole(session, unit.request);
}

void SimNode::let_go(std::shared_ptr<SlotHold> hold, UnitKey unit, Part part) {
  const std::span<const std::byte> bytes = hold->bytes();
  const std::vector<std::byte> right = part_bytes(unit, part, bytes.size());
  if (!std::equal(bytes.begin(), bytes.end(), right.begin())) broken("wrong bytes held for {}", unit.request.value());
  --holds_;
  book_.let_go(bytes);
  *hold = SlotHold();
}

void SimNode::on_sealed(Session& session, RequestId request, Units units) {
  Wanted& own = book_.running(session, request, "on_sealed");
  if (own.sealed || own.units != units) broken("on_sealed twice or of another count, request {}", request.value());
  ++book_.calls[request].seals;
  own.sealed = true;
  finish_if_whole(session, request);
}

void SimNode::finish_if_whole(Session& session, RequestId request) {
  Wanted& own = book_.wanted.at(request);
  std::set<UnitKey> units;
  for (const auto& [unit, part] : own.arrived) {
    if (part == Part::kBase) units.insert(unit);
  }
  const bool is_whole = own.sealed && units.size() >= own.units.count();
  if (is_whole) finish(session, request, own);
}

void SimNode::finish(Session& session, RequestId request, Wanted& own) {
  end_wanted(request, own);
  ++book_.completed;
  own.is_finished = true;
  session.finish(request);
  session.abort(request, ErrorCode::kAborted);  // changes nothing any more
  if (book_.reported(request) != ErrorCode::kOk) broken("event: finished {} ended ill", request.value());
  book_.check_leases_ended(request);
  const UnitKey unit{request, {}, {}};
  if (world_.one_in(8))
    expect(ErrorCode::kNotFound, session.grant(unit, Part::kInt8, Bytes(1)), "grant after the end", request);
}

void SimNode::on_request_failed(Session& session, RequestId request, Error error) {
  Wanted& own = book_.running(session, request, "on_request_failed");
  end_wanted(request, own);
  own.failed_here = std::string_view(error.where) == "receiver" || error.code == ErrorCode::kDigestMismatch;
  if (book_.reported(request) != error.code) broken("event: {} failed as another than was told", request.value());
  const bool is_early = std::string_view(error.where) == "receiver" && world_.now() < own.deadline;
  if (is_early) broken("request {} fails before its deadline", request.value());
  if (error.code == ErrorCode::kOk) broken("request {} failed without a reason", request.value());
  if (plan_.calm) broken("calm: request {} failed with {}", request.value(), static_cast<int>(error.code));
  book_.calls[request].failed = error.code;
  book_.check_leases_ended(request);
}

}  // namespace sluice::transport::simtest
