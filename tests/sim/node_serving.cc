// A simulated node as the one that holds KV: what its peers ask for, and how it answers.
#include <array>

#include "tests/sim/node.h"

namespace sluice::transport::simtest {
namespace {

constexpr Duration kAnswer = std::chrono::milliseconds(20);
constexpr Duration kSend = std::chrono::milliseconds(5);
constexpr std::uint64_t kMostGroups = 2;

}  // namespace

void SimNode::end_held(Session& session, RequestId request, const char* call) {
  const Held& own = book_.serving(session, request, call);
  check_in_time(own.deadline + 2 * plan_.endpoint.heartbeat, "sender", request);
  ++book_.calls[request].ends;
  book_.held.erase({&session, request});
}

void SimNode::on_open(Session& session, const OpenRequest& request) {
  if (!book_.up.contains(&session)) broken("on_open on a session that is down");
  ++book_.calls[request.request].opens;
  const auto [at, is_new] = book_.held.insert({{&session, request.request}, Held{}});
  if (!is_new) broken("on_open twice for request {}", request.request.value());
  at->second.deadline = world_.now() + request.remaining;
  if (book_.is_draining) broken("on_open of request {} at a node that drains", request.request.value());
  check_bounded(session);
  if (!plan_.calm && world_.one_in(20)) return;  // forgotten: the deadline ends it
  later(session, kAnswer, [this, &session, id = request.request] {
    if (book_.held.contains({&session, id})) decide(session, id);
  });
}

void SimNode::decide(Session& session, RequestId request) {
  if (!plan_.calm && world_.one_in(12)) {
    book_.held.erase({&session, request});
    book_.rejected_here.insert(request);
    expect(ErrorCode::kOk, session.reject(request, ErrorCode::kNoMemory, kAnswer), "reject", request);
    expect(ErrorCode::kNotFound, session.reject(request, ErrorCode::kNoMemory, kAnswer), "second reject", request);
    return;
  }
  OpenAck shape;
  shape.layout = KvLayout{Layers(world_.between(1, kMostGroups)), Heads(1), HeadDim(64), 1, 1, 64, 100000.0};
  shape.tokens = Tokens(world_.between(1, kMostChunks));
  shape.chunk_tokens = Tokens(1);
  shape.group_layers = Layers(1);
  shape.units = units_of(shape);
  book_.held.at({&session, request}).accepted = true;
  if (!session.accept(request, shape)) return;
  if (world_.one_in(8)) misuse_as_sender(session, request, shape);
  serve(session, request, shape);
}

void SimNode::misuse_as_sender(Session& session, RequestId request, const OpenAck& shape) {
  const UnitKey outside{request, ChunkIndex(kMostChunks), {}};
  const UnitKey inside{request, {}, {}};
  const GrantToken token{inside, Part::kBase, SlotIndex(0), Generation(0), Bytes(1), Instant::never()};
  const std::array<std::byte, 1> payload{};
  expect(ErrorCode::kNotFound, session.accept(request, shape), "second accept", request);
  expect(ErrorCode::kNotFound, session.reject(request, ErrorCode::kRejected, kAnswer), "reject after accept", request);
  expect(ErrorCode::kInvalidArgument, session.offer({outside, {{Part::kBase, Bytes(1)}}}), "offer outside", request);
  expect(ErrorCode::kStaleLease, session.send_part(token, payload, nullptr), "part without a grant", request);
  const RequestId never(request.value() + 500'000);
  expect(ErrorCode::kNotFound, session.offer({{never, {}, {}}, {}}), "offer of no request", never);
  expect(ErrorCode::kNotFound, session.seal(never, Units(1)), "seal of no request", never);
  expect(ErrorCode::kNotFound, session.fail(never, ErrorCode::kAborted), "fail of no request", never);
}

void SimNode::serve(Session& session, RequestId request, const OpenAck& shape) {
  const std::uint64_t groups = shape.layout.layers.count();
  const auto left = std::make_shared<std::uint64_t>(shape.units.count());
  for (std::uint64_t place = 0; place < shape.units.count(); ++place) {
    const UnitKey unit{request, ChunkIndex(static_cast<std::uint32_t>(place / groups)),
                       LayerGroupIndex(static_cast<std::uint32_t>(place % groups))};
    later(session, kProduce, [this, &session, unit, left, shape] {
      if (book_.held.contains({&session, unit.request})) produce(session, unit, left, shape);
    });
  }
}

void SimNode::produce(Session& session, UnitKey unit, const std::shared_ptr<std::uint64_t>& left,
                      const OpenAck& shape) {
  Offer offer{unit, {{Part::kBase, Bytes(world_.between(1, plan_.largest_part))}}};
  if (world_.one_in(2)) offer.parts.push_back({Part::kRefinement1, Bytes(world_.between(1, plan_.largest_part))});
  (void)session.offer(offer);
  if (!plan_.calm && world_.one_in(100)) {
    book_.held.erase({&session, unit.request});
    book_.failed_here.insert(unit.request);
    expect(ErrorCode::kOk, session.fail(unit.request, ErrorCode::kEngineFailed), "fail", unit.request);
    expect(ErrorCode::kNotFound, session.fail(unit.request, ErrorCode::kEngineFailed), "second fail", unit.request);
    expect(ErrorCode::kNotFound, session.offer(offer), "offer after the end", unit.request);
    return;
  }
  if (--*left > 0 || !session.seal(unit.request, shape.units)) return;
  expect(ErrorCode::kNotFound, session.seal(unit.request, shape.units), "second seal", unit.request);
}

void SimNode::on_grant(Session& session, const GrantToken& token) {
  const Held& own = book_.serving(session, token.unit.request, "on_grant");
  if (!own.accepted) broken("on_grant before accept of request {}", token.unit.request.value());
  ++book_.calls[token.unit.request].grants;
  book_.last_grant = token;
  if (!plan_.calm && world_.one_in(60)) return;  // never sent: the deadline ends it
  later(session, kSend, [this, &session, token] {
    if (book_.held.contains({&session, token.unit.request})) send(session, token);
  });
}

void SimNode::send(Session& session, const GrantToken& token) {
  const RequestId request = token.unit.request;
  const auto bytes =
      std::make_shared<std::vector<std::byte>>(part_bytes(token.unit, token.part, token.max_length.count()));
  if (world_.one_in(8)) {
    GrantToken stale = token;
    stale.generation = Generation(token.generation.value() - 1);
    expect(ErrorCode::kStaleLease, session.send_part(stale, *bytes, bytes), "part of a stale grant", request);
    const std::vector<std::byte> longer(bytes->size() + 1);
    expect(ErrorCode::kBadLength, session.send_part(token, longer, bytes), "part of more than granted", request);
    expect(ErrorCode::kBadLength, session.send_part(token, {}, bytes), "part of nothing", request);
  }
  if (!session.send_part(token, *bytes, bytes)) return;
  expect(ErrorCode::kStaleLease, session.send_part(token, *bytes, bytes), "part given twice", request);
}

void SimNode::on_peer_done(Session& session, RequestId request) { end_held(session, request, "on_peer_done"); }

void SimNode::on_peer_aborted(Session& session, RequestId request, Error error) {
  const Instant deadline = book_.serving(session, request, "on_peer_aborted").deadline + 2 * plan_.endpoint.heartbeat;
  end_held(session, request, "on_peer_aborted");
  if (error.code == ErrorCode::kOk) broken("request {} was aborted without a reason", request.value());
  book_.calls[request].aborted = error.code;
  if (error.code != ErrorCode::kDeadlineMissed || std::string_view(error.where) != "sender") return;
  if (world_.now() < deadline) broken("the sender of request {} gives up before its deadline", request.value());
  book_.failed_here.insert(request);
}

}  // namespace sluice::transport::simtest
