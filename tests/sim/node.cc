#include "tests/sim/node.h"

#include <algorithm>

namespace sluice::transport::simtest {
namespace {

constexpr Duration kReconnect = std::chrono::milliseconds(30);
constexpr Duration kShortestDeadline = std::chrono::milliseconds(3);
constexpr Duration kLongestDeadline = std::chrono::milliseconds(900);
constexpr Duration kAnswer = std::chrono::milliseconds(20);
constexpr Duration kProduce = std::chrono::milliseconds(40);
constexpr Duration kSend = std::chrono::milliseconds(5);
constexpr Duration kHold = std::chrono::milliseconds(8);
constexpr std::uint64_t kMostChunks = 4;
constexpr std::uint64_t kMostGroups = 2;
constexpr std::uint64_t kLargestPart = 20'000;

NodeIdentity identity_of(std::uint32_t number) {
  NodeIdentity identity;
  identity.name = SimNode::address(number);
  identity.epoch = Epoch(100 + number);
  identity.model = ContentHash(1);
  identity.layout = ContentHash(2);
  return identity;
}

}  // namespace

SimNode::SimNode(sim::SimNetwork& network, const RunPlan& plan, std::uint32_t number)
    : world_(network.world()), plan_(plan), number_(number), loop_(world_), fabric_(network, loop_) {
  EndpointOptions options = plan.endpoint;
  options.listen = address(number);
  auto opened = Endpoint::open({loop_, fabric_, nullptr, world_, events_, static_cast<SessionHandler&>(*this)}, options,
                               identity_of(number));
  SLUICE_ASSERT(opened.has_value());
  endpoint_ = std::move(opened).value();
}

void SimNode::keep_connected(std::uint32_t peer) {
  if (retired_) return;
  endpoint_->connect(address(peer), [this, peer](Result<Session*> session) {
    if (session) {
      own_session_ = *session;
    } else {
      loop_.at(world_.now() + kReconnect, [this, peer] { keep_connected(peer); });
    }
  });
}

void SimNode::open_request() {
  if (book_.up.empty() || endpoint_ == nullptr) return;
  // By the order in which they came up: that of addresses would differ from run to run.
  std::map<std::uint64_t, Session*> by_age;
  for (const auto& [session, number] : book_.up) by_age[number] = session;
  const auto any = std::next(by_age.begin(), static_cast<std::ptrdiff_t>(world_.between(0, by_age.size() - 1)));
  Session* const session = any->second;
  OpenRequest open;
  open.request = RequestId(number_ * 1'000'000U + ++opened_);
  open.remaining = world_.between(kShortestDeadline, kLongestDeadline);
  open.tokens = {TokenId(1), TokenId(2)};
  Wanted own;
  own.session = session;
  own.deadline = world_.now() + open.remaining;
  if (!session->open(open)) return;
  book_.wanted[open.request] = own;
  if (!world_.one_in(6)) return;
  later(*session, open.remaining, [this, session, request = open.request] {
    Wanted& opened = book_.wanted.at(request);
    if (opened.ended) return;
    end_wanted(request, opened);
    session->abort(request, ErrorCode::kAborted);
  });
}

void SimNode::close() {
  endpoint_->async_close([this] { loop_.post([this] { endpoint_.reset(); }); });
}

void SimNode::check_quiet() const {
  for (const auto& [request, own] : book_.wanted) {
    if (!own.ended) Book::broken("{}: no terminal call for request", "quiet", request);
  }
  if (!book_.held.empty())
    Book::broken("{}: no terminal call for served request", "quiet", book_.held.begin()->first.second);
  if (endpoint_ == nullptr) return;
  if (holds_ == 0 && !endpoint_->ring_used().is_zero())
    Book::broken("{}: slots did not come back", "quiet", RequestId());
  if (endpoint_->running_requests() != 0) Book::broken("{}: requests are counted as running", "quiet", RequestId());
}

void SimNode::on_up(Session& session, const Hello&) {
  if (!book_.up.emplace(&session, ++book_.ups).second) Book::broken("{} twice", "on_up", RequestId());
}

void SimNode::on_down(Session& session, Error) {
  ++book_.downs;
  book_.check_down(session);
  std::erase_if(waiting_, [&](const auto& entry) { return book_.wanted.at(entry.first.request).session == &session; });
  std::erase_if(book_.wanted, [&](const auto& entry) { return entry.second.session == &session; });
  if (&session != own_session_) return;
  own_session_ = nullptr;
  loop_.at(world_.now() + kReconnect, [this] { keep_connected((number_ + 1) % plan_.nodes); });
}

void SimNode::later(Session& session, Duration longest, std::function<void()> task) {
  loop_.at(world_.now() + world_.between(Duration(0), longest),
           [this, &session, up = book_.up.at(&session), task = std::move(task)] {
             const auto still = book_.up.find(&session);
             if (still != book_.up.end() && still->second == up) task();
           });
}

void SimNode::check_in_time(Instant deadline, const char* side, RequestId request) const {
  const Instant latest = deadline + 2 * plan_.endpoint.heartbeat + std::chrono::milliseconds(2);
  const bool slept = loop_.paused_until() + std::chrono::milliseconds(2) >= deadline;
  if (world_.now() > latest && !slept && !retired_)
    Book::broken("{}: ended after its deadline, request", side, request);
}

void SimNode::end_wanted(RequestId request, Wanted& own) {
  check_in_time(own.deadline, "receiver", request);
  own.ended = true;
}

void SimNode::end_held(Session& session, RequestId request, const char* call) {
  const Held& own = book_.serving(session, request, call);
  check_in_time(own.deadline + 2 * plan_.endpoint.heartbeat, "sender", request);
  book_.held.erase({&session, request});
}

void SimNode::on_open(Session& session, const OpenRequest& request) {
  const auto [at, is_new] = book_.held.insert({{&session, request.request}, Held{}});
  if (!is_new) Book::broken("{} twice for request", "on_open", request.request);
  at->second.deadline = world_.now() + request.remaining;
  if (world_.one_in(20)) return;  // forgotten: the deadline ends it
  later(session, kAnswer, [this, &session, id = request.request] {
    if (!book_.held.contains({&session, id})) return;
    if (world_.one_in(12)) {
      if (session.reject(id, ErrorCode::kQueueFull, kAnswer)) book_.held.erase({&session, id});
      return;
    }
    OpenAck shape;
    shape.layout = KvLayout{Layers(world_.between(1, kMostGroups)), Heads(1), HeadDim(64), 1, 1, 64, 100000.0};
    shape.tokens = Tokens(world_.between(1, kMostChunks));
    shape.chunk_tokens = Tokens(1);
    shape.group_layers = Layers(1);
    shape.units = units_of(shape);
    if (!session.accept(id, shape)) return;
    book_.held.at({&session, id}).accepted = true;
    serve(session, id, shape);
  });
}

void SimNode::serve(Session& session, RequestId request, const OpenAck& shape) {
  const std::uint64_t groups = shape.layout.layers.count();
  const auto left = std::make_shared<std::uint64_t>(shape.units.count());
  const bool fails = world_.one_in(25);
  for (std::uint64_t place = 0; place < shape.units.count(); ++place) {
    const UnitKey unit{request, ChunkIndex(static_cast<std::uint32_t>(place / groups)),
                       LayerGroupIndex(static_cast<std::uint32_t>(place % groups))};
    later(session, kProduce, [this, &session, unit, left, fails, units = shape.units] {
      if (!book_.held.contains({&session, unit.request})) return;
      Offer offer{unit, {{Part::kBase, Bytes(world_.between(1, kLargestPart))}}};
      if (world_.one_in(2)) offer.parts.push_back({Part::kRefinement1, Bytes(world_.between(1, kLargestPart))});
      (void)session.offer(offer);
      if (fails && world_.one_in(2)) {
        if (session.fail(unit.request, ErrorCode::kEngineFailed)) book_.held.erase({&session, unit.request});
        return;
      }
      if (--*left == 0) (void)session.seal(unit.request, units);
    });
  }
}

void SimNode::on_grant(Session& session, const GrantToken& token) {
  const Held& own = book_.serving(session, token.unit.request, "on_grant");
  if (!own.accepted) Book::broken("{} before accept of request", "on_grant", token.unit.request);
  if (world_.one_in(60)) return;  // never sent: the deadline ends it
  later(session, kSend, [this, &session, token] {
    if (!book_.held.contains({&session, token.unit.request})) return;
    const auto bytes = std::make_shared<std::vector<std::byte>>(token.max_length.count());
    for (std::size_t at = 0; at < bytes->size(); ++at) (*bytes)[at] = part_byte(token.unit, token.part, at);
    (void)session.send_part(token, *bytes, bytes);
  });
}

void SimNode::on_peer_done(Session& session, RequestId request) { end_held(session, request, "on_peer_done"); }
void SimNode::on_peer_aborted(Session& session, RequestId request, Error) {
  end_held(session, request, "on_peer_aborted");
}

void SimNode::on_accept(Session& session, RequestId request, const OpenAck& shape) {
  Wanted& own = book_.running(session, request, "on_accept");
  if (!own.units.is_zero()) Book::broken("{} twice for request", "on_accept", request);
  own.units = shape.units;
}

void SimNode::on_offer(Session& session, const Offer& offer) {
  const Wanted& own = book_.running(session, offer.unit.request, "on_offer");
  if (own.units.is_zero()) Book::broken("{} before on_accept of request", "on_offer", offer.unit.request);
  for (const PartSize& part : offer.parts) {
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
  if (granted) return;
  own.granted.erase({unit, part.part});
  if (granted.error().code == ErrorCode::kNoSlot) waiting_.emplace_back(unit, part);
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
  if (!own.granted.contains({unit, part})) Book::broken("{} that was not granted, request", "on_part", unit.request);
  if (!own.arrived.insert({unit, part}).second) Book::broken("{} twice for request", "on_part", unit.request);
  ++book_.delivered;
  ++holds_;
  const auto held = std::make_shared<SlotHold>(std::move(hold));
  loop_.at(world_.now() + world_.between(Duration(0), kHold), [this, held, unit, part] { let_go(held, unit, part); });
  finish_if_whole(session, unit.request);
}

void SimNode::let_go(std::shared_ptr<SlotHold> hold, UnitKey unit, Part part) {
  const std::span<const std::byte> bytes = hold->bytes();
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    if (bytes[at] != part_byte(unit, part, at)) Book::broken("{} bytes held for request", "wrong", unit.request);
  }
  --holds_;
  *hold = SlotHold();
}

void SimNode::on_sealed(Session& session, RequestId request, Units units) {
  Wanted& own = book_.running(session, request, "on_sealed");
  if (own.sealed || own.units != units) Book::broken("{} twice or of another count, request", "on_sealed", request);
  own.sealed = true;
  finish_if_whole(session, request);
}

void SimNode::finish_if_whole(Session& session, RequestId request) {
  Wanted& own = book_.wanted.at(request);
  std::set<UnitKey> units;
  for (const auto& [unit, part] : own.arrived) {
    if (part == Part::kBase) units.insert(unit);
  }
  if (!own.sealed || units.size() < own.units.count()) return;
  end_wanted(request, own);
  ++book_.completed;
  session.finish(request);
}

void SimNode::on_request_failed(Session& session, RequestId request, Error) {
  end_wanted(request, book_.running(session, request, "on_request_failed"));
}

}  // namespace sluice::transport::simtest
