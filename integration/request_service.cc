#include "integration/request_service.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/error.h"
#include "codec/part_name.h"
#include "integration/divergence.h"

namespace sluice::integration {
namespace {

using nlohmann::json;

constexpr std::size_t kRememberedRequests = 256;
constexpr std::size_t kMaxReferences = 8;
constexpr std::uint64_t kMaxGenerated = 1024;
constexpr Duration kMostTime = std::chrono::minutes(10);
/// A soft request may come late; the transfer itself still ends.
constexpr Duration kSoftLimit = std::chrono::minutes(5);
/// Kept free for publication and the first token by a node whose engine could not be measured yet.
constexpr Duration kUnmeasuredReserve = std::chrono::milliseconds(100);
/// A hard request that waits for a late delivery, or for its planner's word, ends by so many recomputes after its
/// deadline; the planner itself ends it earlier.
constexpr std::int64_t kLatestRecomputes = 5;

double milliseconds(Duration span) { return std::chrono::duration<double, std::milli>(span).count(); }

std::string hex(std::uint64_t value) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text(16, '0');
  for (std::size_t place = 0; place < 16; ++place) text[15 - place] = kDigits[(value >> (4 * place)) & 15U];
  return text;
}

}  // namespace

struct RequestService::Reference {
  std::vector<TokenId> tokens;
  std::vector<float> logits;
};

struct RequestService::Job {
  std::string text;
  std::vector<TokenId> tokens;  // the whole prompt
  bool recompute_only = false;
  transport::OpenMode mode = transport::OpenMode::kHandOver;
  std::string peer;
  std::string policy;
  Duration deadline{0};
  scheduler::DeadlineKind deadline_kind = scheduler::DeadlineKind::kHard;
  std::uint64_t generate = 1;
  std::string keep_reference;
  std::shared_ptr<const Reference> score_against;
  Answer answer;

  RequestId request;
  Instant start;
  FetchOutcome fetched;
  bool recomputed = false;
  Error error;
  Duration compute{0};
  Duration inject{0};
  Duration first_token{0};
  Duration time_to_first_token{-1};
  Generation generation;
  std::string output;
  std::shared_ptr<Reference> reference;
  std::optional<Divergence> damage;
};

RequestService::RequestService(const NodeContext& context, DecodeService& decode, FindSession find_session,
                               Options options)
    : context_(context), decode_(decode), find_session_(std::move(find_session)), options_(std::move(options)) {}

RequestService::~RequestService() = default;

Result<std::shared_ptr<RequestService::Job>> RequestService::parse(const json& body, std::string& problem) const {
  const auto wrong = [&](std::string text) {
    problem = std::move(text);
    return Error{ErrorCode::kInvalidArgument, 0, "request body"};
  };
  auto job = std::make_shared<Job>();
  if (!body.is_object()) return wrong("the body must be a JSON object");
  const auto text_of = [&](const char* key, const std::string& other) {
    const auto found = body.find(key);
    return found != body.end() && found->is_string() ? found->get<std::string>() : other;
  };
  job->text = text_of("text", "");
  if (const auto tokens = body.find("tokens"); tokens != body.end() && tokens->is_array()) {
    if (tokens->size() > transport::kMaxPromptTokens) return wrong("'tokens' has more than 131072 entries");
    for (const json& token : *tokens) {
      if (!token.is_number_integer()) return wrong("'tokens' must be integers");
      job->tokens.emplace_back(token.get<std::int32_t>());
    }
  }
  if (job->text.empty() && job->tokens.size() < 2) return wrong("give 'text', or at least two 'tokens'");
  const std::string mode = text_of("mode", "handover");
  if (mode != "handover" && mode != "reuse" && mode != "recompute") {
    return wrong("'mode' must be handover, reuse or recompute");
  }
  job->recompute_only = mode == "recompute";
  job->mode = mode == "reuse" ? transport::OpenMode::kReuse : transport::OpenMode::kHandOver;
  const std::string kind = text_of("deadline_kind", "hard");
  if (kind != "hard" && kind != "soft") return wrong("'deadline_kind' must be hard or soft");
  job->deadline_kind = kind == "soft" ? scheduler::DeadlineKind::kSoft : scheduler::DeadlineKind::kHard;
  job->peer = text_of("peer", "");
  job->policy = text_of("policy", options_.policy);
  const json deadline = body.value("deadline_ms", json(milliseconds(options_.deadline)));
  if (!deadline.is_number() || !(deadline.get<double>() > 0) || deadline.get<double>() > milliseconds(kMostTime)) {
    return wrong("'deadline_ms' must be between 0 and 600000");
  }
  job->deadline = Duration(static_cast<std::int64_t>(deadline.get<double>() * 1e6));
  // As a double, so that signed, unsigned and huge integers meet one check.
  const json count = body.value("generate", json(1));
  if (!count.is_number_integer() || count.get<double>() < 1 ||
      count.get<double>() > static_cast<double>(kMaxGenerated)) {
    return wrong("'generate' must be between 1 and 1024");
  }
  job->generate = count.get<std::uint64_t>();
  job->keep_reference = text_of("keep_reference", "");
  if (const std::string name = text_of("score_against", ""); !name.empty()) {
    const auto found = references_.find(name);
    if (found == references_.end()) return wrong("no reference is kept under the name in 'score_against'");
    job->score_against = found->second;
  }
  return job;
}

void RequestService::run(const json& body, Answer answer) {
  std::string problem;
  Result<std::shared_ptr<Job>> parsed = parse(body, problem);
  if (!parsed) return answer(400, {{"error", error_name(parsed.error().code)}, {"message", problem}});
  if (context_.engine == nullptr) {
    return answer(400, {{"error", "unsupported"}, {"message", "this node has no engine: set engine.kind"}});
  }
  const std::shared_ptr<Job> job = *parsed;
  job->answer = std::move(answer);
  if (!job->tokens.empty()) {
    job->start = context_.clock.now();
    return begin(job);
  }
  const auto tokenize = [this, job] {
    Result<std::vector<TokenId>> tokens = context_.engine->tokenize(job->text);
    const Error error = tokens ? Error{} : tokens.error();
    if (tokens) job->tokens = std::move(tokens).value();
    context_.post([this, job, error] {
      job->start = context_.clock.now();
      job->error = error;
      if (job->error.code == ErrorCode::kOk && job->tokens.size() < 2) {
        job->error = {ErrorCode::kInvalidArgument, 0, "a prompt has at least two tokens"};
      }
      job->error.code == ErrorCode::kOk ? begin(job) : finish(job);
    });
  };
  if (context_.engine_worker.post(tokenize)) return;
  job->answer(503, {{"error", "queue_full"}, {"message", error_hint(ErrorCode::kQueueFull)}});
}

void RequestService::begin(const std::shared_ptr<Job>& job) {
  if (!job->recompute_only) return fetch(job);
  job->request = decode_.next_request();
  job->recomputed = true;
  job->fetched.reason = "asked_for";
  publish_and_generate(job);
}

void RequestService::fetch(const std::shared_ptr<Job>& job) {
  FetchSpec spec;
  spec.tokens.assign(job->tokens.begin(), job->tokens.end() - 1);
  spec.prefix = prefix_key(context_.engine->description().model, spec.tokens);
  spec.mode = job->mode;
  spec.policy = job->policy;
  spec.deadline = job->start + (job->deadline - first_token_reserve(*job));
  spec.deadline_kind = job->deadline_kind;
  spec.quality_floor = options_.quality_floor;
  spec.quality_target = options_.quality_target;
  const Duration recompute = options_.costs.prefill_per_token * static_cast<std::int64_t>(spec.tokens.size());
  if (recompute.count() > 0) spec.recompute = recompute;
  spec.hard_limit = job->deadline_kind == scheduler::DeadlineKind::kHard
                        ? std::min(job->deadline + recompute * kLatestRecomputes, std::max(job->deadline, kSoftLimit))
                        : kSoftLimit;
  const Result<transport::Session*> session = find_session_(job->peer);
  Result<RequestId> opened =
      session ? decode_.fetch(**session, std::move(spec),
                              [this, job](FetchOutcome outcome) { on_fetched(job, std::move(outcome)); })
              : Result<RequestId>(session.error());
  if (opened) {
    job->request = *opened;
    return;
  }
  FetchOutcome refused;
  refused.request = decode_.next_request();
  refused.error = opened.error();
  refused.reason = error_name(opened.error().code);
  on_fetched(job, std::move(refused));
}

void RequestService::on_fetched(const std::shared_ptr<Job>& job, FetchOutcome outcome) {
  job->request = outcome.request;
  job->fetched = std::move(outcome);
  job->recomputed = job->fetched.error.code != ErrorCode::kOk;
  if (job->fetched.error.code == ErrorCode::kInvalidArgument) {  // an unknown policy: nothing was tried
    job->error = job->fetched.error;
    return finish(job);
  }
  if (job->recomputed) context_.emit(FellBack{job->request, job->fetched.reason});
  publish_and_generate(job);
}

// Engine thread: makes KV the engine's, one way or the other. Returns kOk or what failed.
Error RequestService::compute(Job& job) {
  const std::span<const TokenId> prompt(job.tokens.data(), job.tokens.size() - 1);
  const Instant begun = context_.clock.now();
  const Result<void> ready = job.recomputed ? context_.engine->recompute(prompt, std::stop_token())
                                            : context_.engine->restore(prompt, *job.fetched.planes);
  (job.recomputed ? job.compute : job.inject) += context_.clock.now() - begun;
  return ready ? Error{} : ready.error();
}

void RequestService::publish_and_generate(const std::shared_ptr<Job>& job) {
  const auto run = [this, job] {
    job->error = compute(*job);
    if (job->error.code == ErrorCode::kOk) {
      const bool keep = !job->keep_reference.empty();
      const Instant begun = context_.clock.now();
      Result<Generation> made = context_.engine->generate(job->tokens.back(), {Tokens(job->generate), {}, keep});
      const bool is_made = made.has_value();
      if (is_made) {
        job->generation = std::move(made).value();
        job->first_token = job->generation.time_to_first_token;
        job->time_to_first_token = begun + job->first_token - job->start;
        job->output = context_.engine->detokenize(job->generation.tokens);
      } else {
        job->error = made.error();
      }
      if (is_made && keep) {
        job->reference =
            std::make_shared<Reference>(Reference{job->generation.tokens, std::move(job->generation.logits)});
      }
      if (is_made && job->score_against != nullptr) score(*job, *job->score_against);
    }
    context_.post([this, job] { finish(job); });
  };
  if (context_.engine_worker.post(run)) return;
  job->error = {ErrorCode::kQueueFull, 0, "engine worker"};
  finish(job);
}

// Engine thread: the same KV again, this time along the reference's own tokens.
void RequestService::score(Job& job, const Reference& reference) {
  const Duration inject = job.inject;
  const Duration computed = job.compute;
  const Error ready = compute(job);
  job.inject = inject;
  job.compute = computed;
  if (ready.code != ErrorCode::kOk) return;
  const GenerateOptions options{Tokens(reference.tokens.size()), reference.tokens, true};
  const Result<Generation> forced = context_.engine->generate(job.tokens.back(), options);
  if (!forced || forced->logits.size() != reference.logits.size() || forced->logits.empty()) return;
  job.damage = divergence(reference.logits, forced->logits, context_.engine->description().vocabulary);
}

void RequestService::finish(const std::shared_ptr<Job>& job) {
  learn(*job);
  if (job->reference != nullptr) {
    if (references_.size() >= kMaxReferences && !references_.contains(job->keep_reference)) {
      references_.erase(references_.begin());
    }
    references_[job->keep_reference] = job->reference;
  }
  if (job->inject.count() > 0) context_.emit(StepTimed{job->request, Step::kInject, job->inject});
  const json answer = report(*job);
  recent_[job->request] = answer;
  if (recent_.size() > kRememberedRequests) recent_.erase(recent_.begin());
  job->answer(200, answer);
}

Duration RequestService::first_token_reserve(const Job& job) const {
  const EngineCosts& costs = options_.costs;
  if (costs.first_token.count() == 0) return std::min(kUnmeasuredReserve, job.deadline / 4);
  const auto tokens = static_cast<std::int64_t>(job.tokens.size());
  return std::min(costs.inject_per_token * tokens + costs.first_token, job.deadline / 2);
}

void RequestService::learn(const Job& job) {
  if (job.error.code != ErrorCode::kOk || job.tokens.size() < 2) return;
  const auto rows = static_cast<std::int64_t>(job.tokens.size() - 1);
  EngineCosts& costs = options_.costs;
  // Up at once, down slowly: a deadline is missed by what is too short.
  const auto rise = [](Duration& held, Duration seen) { held = std::max(seen, held - held / 4 + seen / 4); };
  if (job.compute.count() > 0) costs.prefill_per_token = job.compute / rows;
  if (job.inject.count() > 0) rise(costs.inject_per_token, job.inject / rows);
  if (job.first_token.count() > 0) rise(costs.first_token, job.first_token);
}

json RequestService::report(const Job& job) const {
  const bool failed = job.error.code != ErrorCode::kOk;
  const FetchTimes& times = job.fetched.times;
  const auto known = [](Duration span) { return std::max(span, Duration(0)); };
  json parts = json::object();
  for (const auto& [part, count] : job.fetched.arrived) parts[std::string(codec::part_name(part))] = count;
  json tokens = json::array();
  for (const TokenId token : job.generation.tokens) tokens.push_back(token.value());
  const double values = static_cast<double>(job.fetched.raw.count()) /
                        static_cast<double>(kernels::dtype_size(context_.engine->description().shape.dtype));
  json answer = {
      {"request", job.request.value()},
      {"outcome", failed           ? "failed"
                  : job.recomputed ? "recomputed"
                                   : "delivered"},
      {"error", error_name(failed ? job.error.code : job.fetched.error.code)},
      {"where", failed ? job.error.where : job.fetched.error.where},
      {"reason", job.fetched.reason},
      {"explanation", job.fetched.explanation},
      {"prompt_tokens", job.tokens.size()},
      {"ttft_ms", milliseconds(job.time_to_first_token)},
      {"deadline_ms", milliseconds(job.deadline)},
      {"on_time", !failed && job.time_to_first_token.count() >= 0 && job.time_to_first_token <= job.deadline},
      {"split_ms",
       {{"prefill", milliseconds(job.recomputed ? job.compute : known(times.first_offer))},
        {"encode", 0.0},
        {"wire", milliseconds(known(times.complete - known(times.first_offer)))},
        {"decode", milliseconds(known(times.decoded - times.complete))},
        {"inject", milliseconds(job.inject)},
        {"first_token", milliseconds(job.first_token)}}},
      {"decode_busy_ms", milliseconds(times.decode_busy)},
      {"first_part_ms", milliseconds(times.first_part)},
      {"wire_bytes", job.fetched.wire.count()},
      {"raw_bytes", job.fetched.raw.count()},
      {"bits_per_value", values > 0 ? 8.0 * static_cast<double>(job.fetched.wire.count()) / values : 0.0},
      {"parts", parts},
      {"quality_ppm", job.fetched.quality.count()},
      {"tokens", tokens},
      {"first_token", job.generation.tokens.empty() ? -1 : job.generation.tokens.front().value()},
      {"text", job.output},
      {"logits_hash", hex(job.generation.logits_hash.value())},
      {"approximate", job.generation.approximate}};
  if (job.damage) {
    answer["kl"] = {
        {"mean", job.damage->mean}, {"p99", job.damage->p99}, {"max", job.damage->max}, {"top1", job.damage->top1}};
  }
  return answer;
}

json RequestService::find(RequestId request) const {
  const auto found = recent_.find(request);
  return found == recent_.end() ? json() : found->second;
}

}  // namespace sluice::integration
