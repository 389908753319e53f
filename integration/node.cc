#include "integration/node.h"

#include <algorithm>
#include <array>
#include <bit>
#include <random>
#include <utility>

#include "integration/cost_probe.h"
#include "kernels/table.h"
#include "transport/tcp/tcp_fabric.h"

namespace sluice::integration {
namespace {

using nlohmann::json;

/// A restart must not be taken for the run before it: seconds since 1970 and random bits.
Epoch new_epoch() {
  std::random_device random;
  const auto seconds =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  return Epoch((static_cast<std::uint64_t>(seconds) << 24U) | (random() & 0xffffffU));
}

ContentHash hash_of(std::span<const std::byte> bytes) {
  return ContentHash((*kernels::ref_kernels().digest)(bytes, 0));
}

}  // namespace

/// A prompt that a peer was asked to take. The same prompt can be on offer to several.
struct Node::Announced {
  PrefixKey key;
  std::function<void(Error)> done;
  transport::asio::steady_timer timer;
};

Node::Node(const NodeOptions& options, const NodeParts& parts, UnitCoder coder)
    : options_(options), parts_(parts), store_(options.store), coder_(std::move(coder)), epoch_(new_epoch()) {}

Node::~Node() = default;

Result<std::unique_ptr<Node>> Node::open(const NodeOptions& options, const NodeParts& parts) {
  SLUICE_ASSIGN(UnitCoder coder, UnitCoder::open(options.coder));
  std::unique_ptr<Node> node(new Node(options, parts, std::move(coder)));
  SLUICE_TRY(node->start());
  return node;
}

Result<void> Node::open_fabrics() {
  if (options_.tls) {
    transport::tcp::TlsOptions tls = *options_.tls;
    tls.node_name = options_.name;
    SLUICE_ASSIGN(stream_, transport::tcp::open_tls_fabric(parts_.loop, {}, tls));
  } else {
    stream_ = transport::tcp::make_tcp_fabric(parts_.loop, {});
  }
  SLUICE_ASSIGN(data_, open_data_fabric(parts_.loop, options_.data));
  return {};
}

transport::NodeIdentity Node::identity() const {
  transport::NodeIdentity identity;
  identity.name = options_.name;
  identity.epoch = epoch_;
  if (parts_.engine == nullptr) return identity;  // a store carries any model's KV
  const ModelDescription& model = parts_.engine->description();
  const std::array<std::uint64_t, 4> layout = {model.shape.layers.count(), model.shape.kv_heads.count(),
                                               model.shape.head_dim.count(),
                                               static_cast<std::uint64_t>(model.shape.dtype)};
  const std::array<std::uint64_t, 3> rope = {static_cast<std::uint64_t>(model.rope.style), model.rope.dims,
                                             std::bit_cast<std::uint64_t>(model.rope.base)};
  identity.model = model.model;
  identity.layout = hash_of(std::as_bytes(std::span(layout)));
  identity.engine = model.engine_build;
  identity.rope = hash_of(std::as_bytes(std::span(rope)));
  identity.profile = coder_.profile();
  return identity;
}

scheduler::PolicyOptions Node::policy_options() {
  scheduler::PolicyOptions policy;
  policy.nominal_rate = options_.nominal_rate;
  policy.nominal_is_trusted = options_.nominal_is_trusted;
  policy.quality = stated_curve(coder_.stated_quality());
  if (parts_.engine == nullptr) return policy;
  const ModelDescription& model = parts_.engine->description();
  if (const auto rates = measure_decode(coder_, model, options_.group_layers, parts_.clock)) {
    policy.decode.rate = *rates;
  }
  return policy;
}

Result<void> Node::start() {
  SLUICE_TRY(open_fabrics());
  const scheduler::PolicyOptions policy = policy_options();
  const EngineCosts costs = parts_.engine == nullptr ? EngineCosts{} : measure_engine(*parts_.engine, parts_.clock);
  codec_worker_ = std::make_unique<Worker>();
  engine_worker_ = std::make_unique<Worker>();
  context_.reset(new NodeContext{parts_.loop, parts_.clock, parts_.events, parts_.engine, coder_, *codec_worker_,
                                 *engine_worker_});
  prefill_ = std::make_unique<PrefillService>(*context_, store_,
                                              PrefillService::Options{options_.parts, Layers(options_.group_layers)});
  prefill_->set_observer([this](const PrefixKey& key, Error error) { on_sent(key, error); });
  // Numbers of different runs differ, and stay exact in JSON (below 2^53).
  const std::uint64_t first_request = ((epoch_.value() & 0xffffffffU) << 20U) + 1;
  if (!options_.decision_log.path.empty()) {
    SLUICE_ASSIGN(decisions_, DecisionLog::create(options_.decision_log, policy));
  }
  decode_ = std::make_unique<DecodeService>(
      *context_, DecodeService::Options{policy, options_.planes, first_request, decisions_.get()});
  requests_ = std::make_unique<RequestService>(
      *context_, *decode_, [this](const std::string& peer) { return peers_->find(peer); },
      RequestService::Options{options_.policy, options_.quality_floor, options_.quality_target, options_.deadline,
                              costs});
  const transport::EndpointParts parts{loop_,        *stream_,      data_.get(),
                                       parts_.clock, parts_.events, static_cast<transport::SessionHandler&>(*this)};
  SLUICE_ASSIGN(endpoint_, transport::Endpoint::open(parts, options_.endpoint, identity()));
  peers_ = std::make_unique<PeerTable>(PeerTableParts{parts_.loop, parts_.clock, parts_.events, *endpoint_},
                                       options_.peers, epoch_.value());
  peers_->connect_all();
  return {};
}

bool Node::ready() const { return !draining_ && peers_->is_whole(); }

void Node::drain() {
  draining_ = true;
  endpoint_->drain();
}

void Node::async_close(std::function<void()> done) {
  peers_->close();
  endpoint_->async_close([this, done = std::move(done)] {
    engine_worker_->stop();  // first: its jobs hand units to the codec's
    codec_worker_->stop();
    if (data_ == nullptr) return done();
    data_->async_close(done);
  });
}

void Node::run_request(const json& body, Answer answer) {
  if (draining_) return answer(503, {{"error", "draining"}, {"message", error_hint(ErrorCode::kDraining)}});
  ++own_requests_;
  requests_->run(body, [this, answer = std::move(answer)](int status, json result) {
    --own_requests_;
    answer(status, std::move(result));
  });
}

json Node::find_request(std::uint64_t request) const {
  json found = requests_->find(RequestId(request));
  const SendTimes* sent = prefill_->times(RequestId(request));
  if (sent == nullptr) return found;
  const auto ms = [](Duration span) { return std::chrono::duration<double, std::milli>(span).count(); };
  if (!found.is_object()) found = {{"request", request}};
  found["sender"] = {{"prefill_end_ms", ms(sent->prefill_end)},
                     {"first_part_sent_ms", ms(sent->first_part_sent)},
                     {"sealed_ms", ms(sent->sealed)},
                     {"encode_ms", ms(sent->encode)},
                     {"sent_bytes", sent->sent.count()}};
  return found;
}

json Node::status() const {
  const json engine = parts_.engine == nullptr ? json("none") : json(parts_.engine->description().name);
  return {{"name", options_.name},
          {"epoch", epoch_.value()},
          {"listen", listen_address()},
          {"engine", engine},
          {"kernels", kernels::available_kernels().front().name},
          {"ready", ready()},
          {"draining", draining_},
          {"running_requests", running_requests()},
          {"sessions", peers_->sessions()},
          {"ring_bytes", options_.endpoint.ring.count()},
          {"ring_used_bytes", ring_used().count()},
          {"store_prompts", store_.prompts()},
          {"store_bytes", store_.used().count()},
          {"policy", options_.policy},
          {"decision_log", decisions_ ? decisions_->state() : "off"}};
}

void Node::announce(const std::string& address, const PrefixKey& key, Duration deadline,
                    std::function<void(Error)> done) {
  const auto stored = store_.find(key);
  if (stored == nullptr) return done(Error{ErrorCode::kNotFound, 0, "store"});
  peers_->use_session(
      address, [this, key, deadline, stored, done = std::move(done)](Result<transport::Session*> session) {
        if (!session) return done(session.error());
        auto asked = std::make_shared<Announced>(Announced{key, done, transport::asio::steady_timer(parts_.loop)});
        asked->timer.expires_after(deadline);
        asked->timer.async_wait([this, waiting = std::weak_ptr(asked)](const boost::system::error_code& cancelled) {
          const auto late = waiting.lock();
          if (!cancelled && late != nullptr) end_announce(late.get(), Error{ErrorCode::kDeadlineMissed, 0, "announce"});
        });
        announced_.emplace(key, asked);
        const Result<void> sent = (*session)->announce({decode_->next_request(), key, deadline, stored->tokens});
        if (!sent) end_announce(asked.get(), sent.error());
      });
}

void Node::on_sent(const PrefixKey& key, Error error) {
  const auto oldest = announced_.find(key);
  if (oldest != announced_.end()) end_announce(oldest->second.get(), error);
}

void Node::end_announce(const Announced* announced, Error error) {
  const auto [first, last] = announced_.equal_range(announced->key);
  const auto found = std::find_if(first, last, [&](const auto& entry) { return entry.second.get() == announced; });
  if (found == last) return;
  const auto done = std::move(found->second->done);
  announced_.erase(found);
  context_->post([done, error] { done(error); });
}

void Node::fetch(const std::string& address, FetchSpec spec, FetchDone done) {
  peers_->use_session(address,
                      [this, spec = std::move(spec), done = std::move(done)](Result<transport::Session*> session) {
                        FetchOutcome refused;
                        refused.error = session ? Error{} : session.error();
                        if (session) {
                          const Result<RequestId> opened = decode_->fetch(**session, spec, done);
                          if (opened) return;
                          refused.error = opened.error();
                        }
                        refused.reason = error_name(refused.error.code);
                        done(std::move(refused));
                      });
}

void Node::on_up(transport::Session& session, const transport::Hello&) { peers_->on_up(session); }

void Node::on_down(transport::Session& session, Error error) {
  prefill_->on_down(session);
  peers_->on_down(session, error);
  if (peers_->sessions() > 0) return;
  std::multimap<PrefixKey, std::shared_ptr<Announced>> lost;
  lost.swap(announced_);
  for (const auto& [key, asked] : lost) asked->done(error);
}

void Node::on_open(transport::Session& session, const transport::OpenRequest& request) {
  prefill_->on_open(session, request);
}

void Node::on_grant(transport::Session& session, const transport::GrantToken& token) {
  prefill_->on_grant(session, token);
}

void Node::on_peer_done(transport::Session& session, RequestId request) { prefill_->on_ended(session, request, {}); }

void Node::on_peer_aborted(transport::Session& session, RequestId request, Error error) {
  prefill_->on_ended(session, request, error);
}

void Node::on_announce(transport::Session& session, const transport::Announce& announce) {
  // What we would serve later as our model's KV must carry our model's own key; the sender sees its deadline pass.
  const Engine* engine = parts_.engine;
  if (engine != nullptr && announce.prefix != prefix_key(engine->description().model, announce.tokens)) return;
  FetchSpec spec;
  spec.prefix = announce.prefix;
  spec.tokens = announce.tokens;
  spec.mode = transport::OpenMode::kReuse;
  spec.policy = "everything";  // it is kept for links and deadlines that are not known yet
  spec.hard_limit = announce.remaining;
  spec.deadline = parts_.clock.now() + announce.remaining;
  spec.quality_floor = options_.quality_floor;
  spec.quality_target = options_.quality_target;
  spec.decode = false;
  const auto keep = [this, key = announce.prefix](FetchOutcome outcome) {
    if (outcome.error.code == ErrorCode::kOk) (void)store_.put(key, std::move(outcome.parts));
  };
  (void)decode_->fetch(session, std::move(spec), keep);  // refused: the announcing side sees its own deadline pass
}

void Node::on_accept(transport::Session&, RequestId request, const transport::OpenAck& shape) {
  decode_->on_accept(request, shape);
}

void Node::on_offer(transport::Session&, const transport::Offer& offer) { decode_->on_offer(offer); }

void Node::on_part(transport::Session&, UnitKey unit, Part part, transport::SlotHold hold) {
  decode_->on_part(unit, part, std::move(hold));
}

void Node::on_sealed(transport::Session& session, RequestId request, Units units) {
  peers_->on_served(session);
  decode_->on_sealed(request, units);
}

void Node::on_request_failed(transport::Session& session, RequestId request, Error error) {
  peers_->on_failed(session, error);
  decode_->on_failed(request, error);
}

void Node::on_slots_free(transport::Session&) { decode_->on_slots_free(); }

void Node::on_goaway(transport::Session& session) { peers_->on_goaway(session); }

}  // namespace sluice::integration
