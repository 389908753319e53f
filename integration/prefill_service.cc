#include "integration/prefill_service.h"

#include <algorithm>
#include <utility>

namespace sluice::integration {
namespace {

constexpr std::size_t kRememberedRequests = 1024;
constexpr Duration kRetryAfter = std::chrono::milliseconds(200);

}  // namespace

/// One request that a peer opened here. The loop owns everything but what the engine thread is given.
struct PrefillService::Job {
  RequestId request;
  transport::Session* session = nullptr;  // null once ended
  Instant opened;
  PrefixKey prefix{};
  std::shared_ptr<StoredPrompt> prompt;  // grows while the engine runs
  std::shared_ptr<KvPlanes> planes;
  std::size_t offered = 0;
  bool sealed = false;
  std::stop_source stop;
  SendTimes times;
};

namespace {

/// Runs on the engine thread: counts layers of each chunk and tells when a unit is complete.
class UnitSink final : public PrefillSink {
 public:
  UnitSink(const Geometry& geometry, RequestId request, std::function<void(UnitKey)> ready)
      : geometry_(geometry), request_(request), ready_(std::move(ready)), layers_done_(geometry.units().count()) {}

  void on_layers_ready(LayerRange layers, TokenRange tokens) override {
    for (std::size_t place = 0; place < layers_done_.size(); ++place) {
      const UnitKey unit = geometry_.unit_at(request_, place);
      const TokenRange unit_tokens = geometry_.tokens_of(unit);
      if (unit_tokens.first.value() < tokens.first.value()) continue;
      if (unit_tokens.first.value() >= tokens.first.value() + tokens.count.count()) break;
      const LayerRange unit_layers = geometry_.layers_of(unit);
      layers_done_[place] += overlap(layers, unit_layers);
      if (layers_done_[place] == unit_layers.count.count() && overlap(layers, unit_layers) > 0) ready_(unit);
    }
  }

 private:
  static std::uint64_t overlap(LayerRange one, LayerRange other) {
    const std::uint64_t first = std::max(one.first.value(), other.first.value());
    const std::uint64_t last =
        std::min(one.first.value() + one.count.count(), other.first.value() + other.count.count());
    return last > first ? last - first : 0;
  }

  const Geometry& geometry_;
  RequestId request_;
  std::function<void(UnitKey)> ready_;
  std::vector<std::uint64_t> layers_done_;
};

transport::Offer offer_of(UnitKey unit, const StoredUnit& made) {
  transport::Offer offer{unit, {}};
  for (const StoredPart& part : made) offer.parts.push_back({part.part, Bytes(part.bytes.size())});
  return offer;
}

}  // namespace

PrefillService::PrefillService(const NodeContext& context, Store& store, Options options)
    : context_(context), store_(store), options_(options) {}

PrefillService::~PrefillService() {
  for (const auto& [key, job] : jobs_) job->stop.request_stop();
}

void PrefillService::on_open(transport::Session& session, const transport::OpenRequest& request) {
  auto job = std::make_shared<Job>();
  job->request = request.request;
  job->session = &session;
  job->opened = context_.clock.now();
  job->prefix = request.prefix;
  const JobKey key{session.peer(), request.request};
  const auto refuse = [&](ErrorCode why) { (void)session.reject(request.request, why, kRetryAfter); };
  if (request.mode == transport::OpenMode::kReuse) {
    const auto stored = store_.find(request.prefix);
    if (stored == nullptr) return refuse(ErrorCode::kNotFound);
    jobs_[key] = job;
    return serve_stored(job, stored);
  }
  if (context_.engine == nullptr) return refuse(ErrorCode::kUnsupported);
  const ModelDescription& model = context_.engine->description();
  kernels::KvShape shape = model.shape;
  shape.tokens = Tokens(request.tokens.size());
  if (shape.tokens > model.shape.tokens) return refuse(ErrorCode::kPromptTooLong);
  Result<Geometry> geometry = Geometry::make(shape, model.rope, {model.chunk_tokens, options_.group_layers});
  if (!geometry) return refuse(ErrorCode::kInvalidArgument);
  if (request.prefix != prefix_key(model.model, request.tokens)) return refuse(ErrorCode::kBadField);
  Result<KvPlanes> planes = KvPlanes::allocate(shape);
  if (!planes) return refuse(ErrorCode::kNoMemory);
  job->planes = std::make_shared<KvPlanes>(std::move(planes).value());
  job->prompt = std::make_shared<StoredPrompt>(StoredPrompt{*geometry, request.tokens, {}});
  job->prompt->units.resize(geometry->units().count());
  if (!session.accept(request.request, geometry->to_ack())) return;
  jobs_[key] = job;
  start_prefill(job);
}

void PrefillService::serve_stored(const std::shared_ptr<Job>& job, const std::shared_ptr<const StoredPrompt>& prompt) {
  job->prompt = std::make_shared<StoredPrompt>(*prompt);
  const Geometry& geometry = job->prompt->geometry;
  if (!job->session->accept(job->request, geometry.to_ack())) return;
  for (std::size_t place = 0; place < job->prompt->units.size(); ++place) {
    if (job->session == nullptr) return;
    const UnitKey unit = geometry.unit_at(job->request, place);
    (void)job->session->offer(offer_of(unit, *job->prompt->units[place]));
  }
  job->offered = job->prompt->units.size();
  job->sealed = true;
  job->times.sealed = context_.clock.now() - job->opened;
  if (job->session != nullptr) (void)job->session->seal(job->request, geometry.units());
}

void PrefillService::start_prefill(const std::shared_ptr<Job>& job) {
  const auto run = [this, job, planes = job->planes, stop = job->stop.get_token()] {
    const auto ready = [this, job](UnitKey unit) { on_unit_ready(job, unit); };
    UnitSink sink(job->prompt->geometry, job->request, ready);
    Result<void> outcome = context_.engine->prefill(job->prompt->tokens, *planes, sink, stop);
    const Instant ended = context_.clock.now();
    context_.post([this, job, outcome, ended] {
      job->times.prefill_end = ended - job->opened;
      on_prefill_end(job, outcome);
    });
  };
  if (!context_.engine_worker.post(run)) fail(job, ErrorCode::kQueueFull);
}

// Engine thread: hands the unit to the codec thread; rows of a ready unit no longer change.
void PrefillService::on_unit_ready(const std::shared_ptr<Job>& job, UnitKey unit) {
  const auto run = [this, job, unit] {
    if (job->stop.stop_requested()) return;
    const Instant start = context_.clock.now();
    Result<StoredUnit> made = context_.coder.encode(*job->planes, job->prompt->geometry, unit, options_.parts);
    const Duration spent = context_.clock.now() - start;
    if (!made) {
      context_.post([this, job, error = made.error()] { fail(job, error.code); });
      return;
    }
    auto shared = std::make_shared<const StoredUnit>(std::move(made).value());
    context_.post([this, job, unit, shared, spent] {
      job->times.encode += spent;
      on_unit_encoded(job, unit, shared);
    });
  };
  if (!context_.codec_worker.post(run)) {
    context_.post([this, job] { fail(job, ErrorCode::kQueueFull); });
  }
}

void PrefillService::on_unit_encoded(const std::shared_ptr<Job>& job, UnitKey unit,
                                     const std::shared_ptr<const StoredUnit>& made) {
  const Geometry& geometry = job->prompt->geometry;
  job->prompt->units[geometry.place(unit)] = made;
  ++job->offered;
  if (job->session != nullptr) (void)job->session->offer(offer_of(unit, *made));
  if (job->offered < job->prompt->units.size()) return;
  job->sealed = true;
  job->times.sealed = context_.clock.now() - job->opened;
  job->planes.reset();
  context_.emit(StepTimed{job->request, Step::kEncode, job->times.encode});
  (void)store_.put(job->prefix, job->prompt);  // larger than the store: served, not kept
  if (job->session != nullptr) (void)job->session->seal(job->request, geometry.units());
  remember(job->request, job->times);
}

void PrefillService::on_prefill_end(const std::shared_ptr<Job>& job, Result<void> outcome) {
  context_.emit(StepTimed{job->request, Step::kPrefill, job->times.prefill_end});
  remember(job->request, job->times);
  if (!outcome) fail(job, outcome.error().code);
}

void PrefillService::on_grant(transport::Session& session, const transport::GrantToken& token) {
  const auto found = jobs_.find({session.peer(), token.unit.request});
  if (found == jobs_.end()) return;
  const std::shared_ptr<Job> job = found->second;
  const Geometry& geometry = job->prompt->geometry;
  const auto unit = geometry.contains(token.unit) ? job->prompt->units[geometry.place(token.unit)] : nullptr;
  if (unit == nullptr) return fail(job, ErrorCode::kProtocolViolation);
  for (const StoredPart& part : *unit) {
    if (part.part != token.part) continue;
    if (job->times.first_part_sent.count() < 0) job->times.first_part_sent = context_.clock.now() - job->opened;
    job->times.sent += Bytes(part.bytes.size());
    (void)session.send_part(token, part.bytes, unit);
    return;
  }
  fail(job, ErrorCode::kProtocolViolation);
}

void PrefillService::on_ended(transport::Session& session, RequestId request, Error error) {
  end({session.peer(), request}, error);
}

void PrefillService::on_down(transport::Session& session) {
  for (auto next = jobs_.begin(); next != jobs_.end();) {
    const auto current = next++;
    if (current->first.first == session.peer()) end(current->first, Error{ErrorCode::kPeerLost, 0, "session"});
  }
}

void PrefillService::fail(const std::shared_ptr<Job>& job, ErrorCode why) {
  if (job->session == nullptr) return;
  const JobKey key{job->session->peer(), job->request};
  (void)job->session->fail(job->request, why);
  end(key, Error{why, 0, "prefill"});
}

void PrefillService::end(const JobKey& key, Error error) {
  const auto found = jobs_.find(key);
  if (found == jobs_.end()) return;
  const std::shared_ptr<Job> job = found->second;
  jobs_.erase(found);
  job->session = nullptr;
  // A receiver that is satisfied early does not stop the engine: the store still wants the rest.
  if (error.code != ErrorCode::kOk) job->stop.request_stop();
  remember(job->request, job->times);
  if (observer_) observer_(job->prefix, error);
}

void PrefillService::remember(RequestId request, const SendTimes& times) {
  recent_[request] = times;
  if (recent_.size() > kRememberedRequests) recent_.erase(recent_.begin());
}

const SendTimes* PrefillService::times(RequestId request) const {
  const auto found = recent_.find(request);
  return found == recent_.end() ? nullptr : &found->second;
}

}  // namespace sluice::integration
