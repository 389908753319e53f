#include "integration/decode_service.h"

#include <algorithm>
#include <deque>
#include <mutex>
#include <optional>
#include <utility>

#include "codec/part_name.h"

namespace sluice::integration {
namespace {

/// Bounds the policies that a user can name in one run ("fixed:..." has many spellings).
constexpr std::size_t kMaxBrains = 64;

/// What a policy's recompute means to who asked: too late, not possible, or not worth it. `refused` is why the last
/// grant was refused for good.
Error error_of(scheduler::Reason reason, Error refused) {
  switch (reason) {
    case scheduler::Reason::kDeadlineInfeasible:
    case scheduler::Reason::kDeadlinePassed:
      return Error{ErrorCode::kDeadlineMissed, 0, "planner"};
    case scheduler::Reason::kPartLost:
      return refused.code == ErrorCode::kOk ? Error{ErrorCode::kAborted, 0, "lost part"} : refused;
    case scheduler::Reason::kPartNotOffered:
      return Error{ErrorCode::kNotFound, 0, "parts of the peer"};
    case scheduler::Reason::kTooManyUnits:
      return Error{ErrorCode::kProtocolViolation, 0, "units of an ack"};
    default:
      return Error{ErrorCode::kAborted, 0, "planner"};
  }
}

}  // namespace

/// What has come of one unit. Guarded by Fetch::mutex: the loop adds parts, the codec thread reads them.
struct UnitArrivals {
  std::vector<std::shared_ptr<const StoredPart>> parts;
  std::size_t decoded = 0;  // how many of `parts` the rows in the planes were made from
  bool queued = false;      // a decode is waiting or running
};

struct DecodeService::Fetch {
  RequestId request;
  transport::Session* session = nullptr;
  FetchSpec spec;
  FetchDone done;
  Brain* brain = nullptr;
  Instant opened;
  std::optional<Geometry> geometry;
  std::shared_ptr<KvPlanes> planes;
  std::mutex mutex;
  std::vector<UnitArrivals> units;
  Error refused;       // the last grant's, where waiting would not have helped
  bool whole = false;  // the policy is satisfied; only decodes are awaited
  FetchOutcome outcome;
};

/// One policy, its timer and the grants that wait for room in the ring.
struct DecodeService::Brain {
  Brain(std::unique_ptr<scheduler::Policy> taken, std::uint32_t given, transport::asio::io_context& loop)
      : policy(std::move(taken)), number(given), timer(loop) {}
  std::unique_ptr<scheduler::Policy> policy;
  std::uint32_t number;  // in the decision log
  transport::asio::steady_timer timer;
  Instant armed = Instant::never();
  std::deque<scheduler::Grant> waiting;
  std::deque<scheduler::Event> events;
  bool busy = false;
};

DecodeService::DecodeService(const NodeContext& context, Options options)
    : context_(context), options_(std::move(options)), next_request_(options_.first_request) {}

DecodeService::~DecodeService() = default;

DecodeService::Fetch* DecodeService::find(RequestId request) {
  const auto found = fetches_.find(request);
  return found == fetches_.end() ? nullptr : found->second.get();
}

Result<DecodeService::Brain*> DecodeService::brain(const std::string& policy) {
  if (const auto found = brains_.find(policy); found != brains_.end()) return found->second.get();
  if (brains_.size() >= kMaxBrains) return Error{ErrorCode::kQueueFull, 0, "policies of one run"};
  SLUICE_ASSIGN(auto made, scheduler::make_policy(policy, options_.policy));
  const auto number = static_cast<std::uint32_t>(brains_.size());
  if (options_.log != nullptr) options_.log->add(LoggedPolicy{number, policy});
  return (brains_[policy] = std::make_unique<Brain>(std::move(made), number, context_.loop)).get();
}

Result<RequestId> DecodeService::fetch(transport::Session& session, FetchSpec spec, FetchDone done) {
  SLUICE_ASSIGN(Brain * mind, brain(spec.policy));
  const RequestId request = next_request();
  SLUICE_TRY(session.open({request, spec.prefix, spec.mode, spec.hard_limit, spec.tokens}));
  auto fetch = std::make_shared<Fetch>();
  fetch->request = request;
  fetch->session = &session;
  fetch->spec = std::move(spec);
  fetch->done = std::move(done);
  fetch->brain = mind;
  fetch->opened = context_.clock.now();
  fetch->outcome.request = request;
  fetches_[request] = fetch;
  const auto mode =
      fetch->spec.mode == transport::OpenMode::kReuse ? scheduler::Mode::kReuse : scheduler::Mode::kHandOver;
  const scheduler::RequestOpened opened{request,
                                        fetch->spec.deadline,
                                        fetch->spec.deadline_kind,
                                        mode,
                                        fetch->spec.quality_floor,
                                        fetch->spec.quality_target,
                                        Tokens(fetch->spec.tokens.size()),
                                        fetch->spec.recompute};
  // Later, so that the caller has the request's number before `done` can be called.
  context_.post([this, mind, opened] { tell(*mind, opened); });
  return request;
}

void DecodeService::tell(Brain& mind, const scheduler::Event& event) {
  mind.events.push_back(event);
  if (mind.busy) return;  // an action of ours led here: the loop below takes it next
  mind.busy = true;
  while (!mind.events.empty()) {
    const scheduler::Event next = mind.events.front();
    mind.events.pop_front();
    scheduler::Actions actions;
    const Instant now = context_.clock.now();
    mind.policy->on(next, now, actions);
    keep(mind, next, now, actions);
    for (const scheduler::Action& action : actions) carry_out(mind, action);
  }
  mind.busy = false;
  rearm(mind);
}

void DecodeService::keep(const Brain& mind, const scheduler::Event& event, Instant now,
                         const scheduler::Actions& actions) {
  if (options_.log == nullptr) return;
  options_.log->add(LoggedStep{mind.number, now, event, actions, mind.policy->wake_at()});
  // Whoever asks about a request that has ended finds it.
  if (std::holds_alternative<scheduler::RequestClosed>(event)) options_.log->flush();
}

void DecodeService::carry_out(Brain& mind, const scheduler::Action& action) {
  if (const auto* wanted = std::get_if<scheduler::Grant>(&action)) return grant(mind, *wanted);
  if (const auto* done = std::get_if<scheduler::Complete>(&action)) {
    Fetch* fetch = find(done->request);
    if (fetch == nullptr) return;
    fetch->outcome.explanation = scheduler::explain(action);
    return complete(*fetch, *done);
  }
  if (std::holds_alternative<scheduler::Promise>(action)) return;
  // Engines here compute a prompt or none of it: PolicyOptions::computes_front is off.
  SLUICE_ASSERT(std::holds_alternative<scheduler::Recompute>(action));
  const auto& recompute = std::get<scheduler::Recompute>(action);
  Fetch* fetch = find(recompute.request);
  if (fetch == nullptr) return;
  const std::string_view reason = scheduler::reason_name(recompute.reason);
  context_.emit(Decided{recompute.request, "recompute", reason, recompute.inputs.slack});
  fetch->outcome.explanation = scheduler::explain(action);
  const Error error = error_of(recompute.reason, fetch->refused);
  fetch->session->abort(recompute.request, error.code);
  end(recompute.request, error, reason);
}

void DecodeService::grant(Brain& mind, const scheduler::Grant& wanted) {
  Fetch* fetch = find(wanted.unit.request);
  if (fetch == nullptr || fetch->whole) return;
  const Result<void> granted = fetch->session->grant(wanted.unit, wanted.part, wanted.bytes);
  if (granted) {
    const std::string_view reason = scheduler::reason_name(wanted.reason);
    context_.emit(Decided{wanted.unit.request, codec::part_name(wanted.part), reason, wanted.inputs.slack});
    return;
  }
  const ErrorCode code = granted.error().code;
  if (code == ErrorCode::kNoSlot || code == ErrorCode::kQueueFull) {
    mind.waiting.push_back(wanted);
    return;
  }
  fetch->refused = granted.error();
  mind.events.push_back(scheduler::PartFailed{wanted.unit, wanted.part});
}

void DecodeService::on_slots_free() {
  for (auto& [name, mind] : brains_) {
    std::deque<scheduler::Grant> waiting;
    waiting.swap(mind->waiting);
    for (const scheduler::Grant& wanted : waiting) grant(*mind, wanted);
    if (!mind->events.empty()) tell(*mind, scheduler::Tick{});
  }
}

void DecodeService::rearm(Brain& mind) {
  const Instant due = mind.policy->wake_at();
  if (due == mind.armed) return;
  mind.armed = due;
  mind.timer.cancel();
  if (due == Instant::never()) return;
  const Duration wait = std::max(due - context_.clock.now(), Duration(0));
  mind.timer.expires_after(wait);
  mind.timer.async_wait([this, &mind](const boost::system::error_code& cancelled) {
    if (cancelled) return;
    mind.armed = Instant::never();
    tell(mind, scheduler::Tick{});
  });
}

void DecodeService::on_accept(RequestId request, const transport::OpenAck& shape) {
  Fetch* fetch = find(request);
  if (fetch == nullptr) return;
  const auto refuse = [&](Error error) { give_up(*fetch, error); };
  const Result<Geometry> geometry = Geometry::from_ack(shape);
  if (!geometry) return refuse(geometry.error());
  if (shape.tokens.count() != fetch->spec.tokens.size()) return refuse({ErrorCode::kBadField, 0, "tokens of an ack"});
  if (context_.engine != nullptr) {  // also where nothing is decoded: it is kept under our model's name
    const ModelDescription& model = context_.engine->description();
    kernels::KvShape expected = model.shape;
    expected.tokens = shape.tokens;
    if (geometry->shape() != expected || geometry->rope() != model.rope)
      return refuse({ErrorCode::kIncompatibleLayout, 0, "open ack"});
  }
  const Bytes rows = geometry->shape().raw_bytes();
  if (fetch->spec.decode) {
    if (planes_used_ + rows > options_.planes) return refuse({ErrorCode::kNoMemory, 0, "memory.planes_bytes"});
    Result<KvPlanes> planes = KvPlanes::allocate(geometry->shape());
    if (!planes) return refuse(planes.error());
    fetch->planes = std::make_shared<KvPlanes>(std::move(planes).value());
    planes_used_ += rows;
  }
  fetch->geometry = *geometry;
  fetch->units.resize(geometry->units().count());
  fetch->outcome.raw = rows;
  fetch->outcome.times.accepted = context_.clock.now() - fetch->opened;
  const Duration rtt = fetch->session->link().rtt_min;
  if (rtt.count() > 0) tell(*fetch->brain, scheduler::RttSample{rtt});
  tell(*fetch->brain, scheduler::Accepted{request, geometry->chunks(), geometry->groups(), rows});
}

void DecodeService::on_offer(const transport::Offer& offer) {
  Fetch* fetch = find(offer.unit.request);
  if (fetch == nullptr || !fetch->geometry || !fetch->geometry->contains(offer.unit)) return;
  if (fetch->outcome.times.first_offer.count() < 0) {
    fetch->outcome.times.first_offer = context_.clock.now() - fetch->opened;
  }
  scheduler::Offered offered{offer.unit, fetch->geometry->shape_of(offer.unit).raw_bytes(), {}};
  for (const transport::PartSize& part : offer.parts) {
    if (scheduler::part_place(part.part) < scheduler::kAllParts.size()) offered.sizes[part.part] = part.size;
  }
  tell(*fetch->brain, offered);
}

void DecodeService::on_part(UnitKey unit, Part part, transport::SlotHold hold) {
  const auto found = fetches_.find(unit.request);
  if (found == fetches_.end() || found->second->whole) return;
  const std::shared_ptr<Fetch> fetch = found->second;
  if (!fetch->geometry || !fetch->geometry->contains(unit)) return;
  const Bytes size(hold.bytes().size());
  auto copy = std::make_shared<StoredPart>();
  copy->part = part;
  copy->bytes.assign(hold.bytes().begin(), hold.bytes().end());
  if (fetch->outcome.times.first_part.count() < 0) {
    fetch->outcome.times.first_part = context_.clock.now() - fetch->opened;
  }
  fetch->outcome.wire += size;
  ++fetch->outcome.arrived[part];
  const std::size_t place = fetch->geometry->place(unit);
  {
    const std::lock_guard lock(fetch->mutex);
    fetch->units[place].parts.push_back(std::move(copy));
  }
  if (fetch->spec.decode) queue_decode(fetch, place);
  tell(*fetch->brain, scheduler::PartArrived{unit, part, size});
}

void DecodeService::queue_decode(const std::shared_ptr<Fetch>& fetch, std::size_t place) {
  {
    const std::lock_guard lock(fetch->mutex);
    if (fetch->units[place].queued) return;
    fetch->units[place].queued = true;
  }
  ++decodes_;
  const auto run = [this, fetch, place] {
    std::vector<std::shared_ptr<const StoredPart>> held;
    {
      const std::lock_guard lock(fetch->mutex);
      held = fetch->units[place].parts;
    }
    std::vector<const StoredPart*> parts;
    for (const auto& part : held) parts.push_back(part.get());
    const UnitKey unit = fetch->geometry->unit_at(fetch->request, place);
    const Instant start = context_.clock.now();
    Result<void> outcome;
    const std::optional<Part> made_of = decoded_part(parts);
    if (made_of) outcome = context_.coder.decode(parts, *fetch->geometry, unit, *fetch->planes);
    const Duration spent = context_.clock.now() - start;
    context_.post([this, fetch, place, outcome, spent, count = parts.size(), made_of] {
      fetch->outcome.times.decode_busy += spent;
      --decodes_;
      const Bytes rows = fetch->geometry->shape_of(fetch->geometry->unit_at(fetch->request, place)).raw_bytes();
      if (made_of) tell(*fetch->brain, scheduler::DecodeSample{*made_of, rows, spent, decodes_});
      {
        const std::lock_guard lock(fetch->mutex);
        fetch->units[place].decoded = count;
        fetch->units[place].queued = false;
      }
      on_decoded(fetch, place, outcome);
    });
  };
  if (context_.codec_worker.post(run)) return;
  --decodes_;
  context_.post([this, fetch] {
    if (find(fetch->request) == nullptr) return;
    give_up(*fetch, Error{ErrorCode::kQueueFull, 0, "codec worker"});
  });
}

void DecodeService::on_decoded(const std::shared_ptr<Fetch>& fetch, std::size_t place, Result<void> outcome) {
  if (find(fetch->request) == nullptr) return;
  const UnitKey unit = fetch->geometry->unit_at(fetch->request, place);
  if (!outcome) return give_up(*fetch, outcome.error());
  context_.emit(UnitDecoded{unit, fetch->units[place].parts.back()->part});
  if (fetch->units[place].decoded < fetch->units[place].parts.size()) queue_decode(fetch, place);
  finish_if_whole(fetch);
}

void DecodeService::complete(Fetch& fetch, const scheduler::Complete& done) {
  fetch.whole = true;
  fetch.outcome.quality = done.quality;
  fetch.outcome.reason = scheduler::reason_name(done.reason);
  fetch.outcome.times.complete = context_.clock.now() - fetch.opened;
  context_.emit(StepTimed{fetch.request, Step::kWire, fetch.outcome.times.complete});
  fetch.session->finish(fetch.request);
  fetch.session = nullptr;
  context_.post([this, request = fetch.request] {
    if (const auto found = fetches_.find(request); found != fetches_.end()) finish_if_whole(found->second);
  });
}

std::shared_ptr<StoredPrompt> DecodeService::collect_parts(const Fetch& fetch) {
  auto prompt = std::make_shared<StoredPrompt>(StoredPrompt{*fetch.geometry, fetch.spec.tokens, {}});
  for (const UnitArrivals& unit : fetch.units) {
    auto stored = std::make_shared<StoredUnit>();
    for (const auto& part : unit.parts) stored->push_back(*part);
    prompt->units.push_back(std::move(stored));
  }
  return prompt;
}

void DecodeService::finish_if_whole(const std::shared_ptr<Fetch>& fetch) {
  if (!fetch->whole || find(fetch->request) == nullptr) return;
  for (const UnitArrivals& unit : fetch->units) {
    if (unit.parts.empty()) {
      return end(fetch->request, Error{ErrorCode::kProtocolViolation, 0, "a unit is missing"}, "unit_missing");
    }
    if (fetch->spec.decode && (unit.queued || unit.decoded < unit.parts.size())) return;
  }
  if (!fetch->spec.decode) fetch->outcome.parts = collect_parts(*fetch);
  fetch->outcome.planes = fetch->planes;
  fetch->outcome.rope = fetch->geometry->rope();
  fetch->outcome.times.decoded = context_.clock.now() - fetch->opened;
  context_.emit(StepTimed{fetch->request, Step::kDecode, fetch->outcome.times.decode_busy});
  end(fetch->request, Error{}, fetch->outcome.reason);
}

void DecodeService::on_sealed(RequestId request, Units units) {
  Fetch* fetch = find(request);
  if (fetch != nullptr && !fetch->whole) tell(*fetch->brain, scheduler::Sealed{request, units});
}

void DecodeService::on_failed(RequestId request, Error error) {
  Fetch* fetch = find(request);
  if (fetch == nullptr || fetch->whole) return;
  end(request, error, error_name(error.code));
}

void DecodeService::give_up(Fetch& fetch, Error error) {
  // A satisfied fetch has let go of its session: its last decodes may still fail.
  if (fetch.session != nullptr) fetch.session->abort(fetch.request, error.code);
  end(fetch.request, error, error_name(error.code));
}

void DecodeService::end(RequestId request, Error error, std::string_view reason) {
  const auto found = fetches_.find(request);
  if (found == fetches_.end()) return;
  const std::shared_ptr<Fetch> fetch = found->second;
  fetches_.erase(found);
  if (fetch->planes != nullptr) planes_used_ -= fetch->planes->shape().raw_bytes();
  fetch->outcome.error = error;
  fetch->outcome.reason = reason;
  tell(*fetch->brain, scheduler::RequestClosed{request});
  context_.post([fetch] { fetch->done(std::move(fetch->outcome)); });
}

}  // namespace sluice::integration
