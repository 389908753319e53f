#include "scheduler/sim/cluster.h"

#include <algorithm>

#include "scheduler/sim/trial.h"

namespace sluice::scheduler::sim {
namespace {

constexpr Duration kLossTimeout{50'000'000};

/// One request on its way.
struct Live {
  Instant due;
  std::uint32_t prefill = 0;
  std::uint32_t decode = 0;
  Tokens tokens;
  std::uint32_t units = 0;
};

/// A decode node: its policy, and its decode workers as one queue.
struct Brain {
  std::unique_ptr<Policy> policy;
  Instant armed = Instant::never();
  Instant decode_free;
  Instant compute_free;
  std::uint32_t decoding = 0;
  std::uint64_t tokens_waiting = 0;
};

/// A part on the wire.
struct Letter {
  Grant grant;
  std::uint32_t from = 0;
  std::uint32_t to = 0;
};

/// How a request ended.
struct Outcome {
  RequestId request;
  PartsPerMillion quality;
  Reason reason;
};

class Cluster {
 public:
  Cluster(const ClusterShape& shape, const std::vector<Arrival>& arrivals)
      : shape_(shape),
        arrivals_(arrivals),
        fabric_(FabricShape{shape.prefill_nodes + shape.decode_nodes, shape.port, shape.rack_nodes, shape.rack_port}),
        random_(shape.seed),
        prefill_free_(shape.prefill_nodes),
        brains_(shape.decode_nodes),
        sizes_(shape.codec.sizes(unit_rows())) {
    PolicyOptions options;
    options.decode = shape.codec.decode;
    options.quality = shape.codec.quality;
    options.nominal_rate = shape.port;
    options.nominal_is_trusted = true;
    options.nominal_rtt = shape.rtt;
    options.deadline_guard = Duration(500'000);
    for (Brain& brain : brains_) brain.policy = make_policy(shape.policy, options).value();
  }

  ClusterResult run() {
    Instant now;
    while (true) {
      const Instant arrival =
          next_arrival_ < arrivals_.size() ? Instant(arrivals_[next_arrival_].at) : Instant::never();
      const Instant timer = queue_.empty() ? Instant::never() : queue_.front().at;
      const Instant wire = fabric_.next();
      const Instant next = std::min({arrival, timer, wire});
      if (next == Instant::never()) break;
      now = std::max(now, next);
      if (wire == next) {
        deliver(fabric_.take(), now);
      } else if (timer == next) {
        std::pop_heap(queue_.begin(), queue_.end(), is_later);
        const Timed timed = queue_.back();
        queue_.pop_back();
        handle(timed, now);
      } else {
        admit(arrivals_[next_arrival_++], now);
      }
    }
    result_.log_digest = digest_;
    if (result_.in_time > 0) result_.mean_quality = quality_sum_ / static_cast<double>(result_.in_time);
    return result_;
  }

 private:
  enum class Kind : std::uint8_t { kTell, kTick, kAsk };
  /// kTell: the event in `slot` for decode node `node`. kAsk: the letter in `slot` is at its sender.
  struct Timed {
    Instant at;
    std::uint64_t order;
    Kind kind;
    std::uint32_t node;
    std::uint32_t slot;
  };
  static bool is_later(const Timed& left, const Timed& right) {
    return left.at != right.at ? left.at > right.at : left.order > right.order;
  }
  Bytes unit_rows() const { return kTokenRows * shape_.chunk_tokens; }

  void push(Instant at, Kind kind, std::uint32_t node, std::uint32_t slot) {
    queue_.push_back({at, order_++, kind, node, slot});
    std::push_heap(queue_.begin(), queue_.end(), is_later);
  }
  template <typename Item>
  static std::uint32_t store(std::vector<Item>& items, std::vector<std::uint32_t>& free, Item item) {
    if (free.empty()) {
      free.push_back(static_cast<std::uint32_t>(items.size()));
      items.emplace_back();
    }
    const std::uint32_t slot = free.back();
    free.pop_back();
    items[slot] = std::move(item);
    return slot;
  }
  void tell_at(Instant at, std::uint32_t node, Event event) {
    push(at, Kind::kTell, node, store(events_, free_events_, std::move(event)));
  }
  void log(std::initializer_list<std::uint64_t> words) {
    for (std::uint64_t word : words) {
      for (int byte = 0; byte < 8; ++byte, word >>= 8U) digest_ = (digest_ ^ (word & 0xffU)) * 0x100000001b3ULL;
    }
  }

  void admit(const Arrival& arrival, Instant now) {
    const RequestId id(++result_.requests);
    Live live;
    live.tokens = std::max(arrival.prompt, Tokens(1));
    live.units = static_cast<std::uint32_t>((live.tokens.count() + shape_.chunk_tokens - 1) / shape_.chunk_tokens);
    const auto idle = std::min_element(prefill_free_.begin(), prefill_free_.end());
    live.prefill = static_cast<std::uint32_t>(idle - prefill_free_.begin());
    const auto calm = std::min_element(brains_.begin(), brains_.end(), [](const Brain& left, const Brain& right) {
      return left.tokens_waiting < right.tokens_waiting;
    });
    live.decode = static_cast<std::uint32_t>(calm - brains_.begin());
    calm->tokens_waiting += live.tokens.count();
    const Duration alone = prefill_time(shape_.prefill, live.tokens);
    live.due = now + (shape_.deadline_fixed + alone * shape_.deadline_prefills);
    log({static_cast<std::uint64_t>(now.since_start().count()), 1, id.value(), live.prefill, live.decode});
    RequestOpened opened{id, live.due, DeadlineKind::kHard, Mode::kHandOver, shape_.floor, kExactQuality, live.tokens};
    opened.recompute = alone;
    schedule_offers(id, live, arrival.known_before, now);
    live_[id] = live;
    result_.most_live = std::max(result_.most_live, live_.size());
    tell(live.decode, opened, now);
  }

  /// Chunks that are cached are coded at once; the others when prefill has come to them.
  void schedule_offers(RequestId id, const Live& live, Tokens known, Instant now) {
    Instant& prefill_free = prefill_free_[live.prefill];
    const Instant accepted = now + shape_.rtt;
    tell_at(accepted, live.decode, Accepted{id, live.units, 1, unit_rows() * live.units});
    const Instant start = std::max(prefill_free, now);
    const Duration cached = prefill_time(shape_.prefill, known);
    Instant coded = accepted;
    for (std::uint32_t unit = 0; unit < live.units; ++unit) {
      const Tokens until(std::min<std::uint64_t>(live.tokens.count(), std::uint64_t{unit + 1} * shape_.chunk_tokens));
      const Instant ready = until <= known ? now : start + (prefill_time(shape_.prefill, until) - cached);
      coded = std::max(coded, ready) + time_to_send(unit_rows(), shape_.encode);
      if (until > known) prefill_free = std::max(prefill_free, ready);
      tell_at(coded + shape_.rtt / 2, live.decode,
              Offered{UnitKey{id, ChunkIndex(unit), LayerGroupIndex(0)}, unit_rows(), sizes_});
    }
    tell_at(coded + shape_.rtt / 2, live.decode, Sealed{id, Units(live.units)});
  }

  void handle(const Timed& timed, Instant now) {
    if (timed.kind == Kind::kTick) {
      if (brains_[timed.node].armed <= now) brains_[timed.node].armed = Instant::never();
      tell(timed.node, Tick{}, now);
    } else if (timed.kind == Kind::kTell) {
      free_events_.push_back(timed.slot);
      const Event event = std::move(events_[timed.slot]);
      if (const auto* failed = std::get_if<PartFailed>(&event)) log({2, failed->unit.request.value()});
      tell(timed.node, event, now);
    } else {
      const Letter& letter = letters_[timed.slot];
      fabric_.send({timed.slot, letter.from, letter.to, letter.grant.bytes}, now);
    }
  }

  void deliver(MessageId message, Instant now) {
    const auto slot = static_cast<std::uint32_t>(message);
    const Letter letter = letters_[slot];
    free_letters_.push_back(slot);
    const std::uint32_t node = letter.to - shape_.prefill_nodes;
    const Grant& grant = letter.grant;
    result_.arrived += grant.bytes;
    log({static_cast<std::uint64_t>(now.since_start().count()), 3, grant.unit.request.value(), grant.unit.chunk.value(),
         static_cast<std::uint64_t>(grant.part)});
    if (shape_.loss_one_in > 0 && random_.below(shape_.loss_one_in) == 0) {
      return tell_at(now + kLossTimeout, node, PartFailed{grant.unit, grant.part});
    }
    tell_at(now + shape_.rtt / 2, node, PartArrived{grant.unit, grant.part, grant.bytes});
  }

  void tell(std::uint32_t node, Event event, Instant now) {
    Brain& brain = brains_[node];
    ++result_.events;
    if (const auto* arrived = std::get_if<PartArrived>(&event)) {
      if (live_.contains(arrived->unit.request)) {
        const Duration work = decode_time(shape_.codec.decode, arrived->part, unit_rows());
        brain.decode_free = std::max(brain.decode_free, now) + work;
        ++brain.decoding;
        tell_at(brain.decode_free, node, DecodeSample{arrived->part, unit_rows(), work, 0});
      }
    } else if (auto* decoded = std::get_if<DecodeSample>(&event)) {
      decoded->waiting = --brain.decoding;
    }
    actions_.clear();
    brain.policy->on(event, now, actions_);
    for (const Action& action : actions_) carry_out(node, action, now);
    const Instant wake = brain.policy->wake_at();
    if (wake < brain.armed) {
      brain.armed = wake;
      push(std::max(wake, now), Kind::kTick, node, 0);
    }
  }

  void carry_out(std::uint32_t node, const Action& action, Instant now) {
    if (const auto* grant = std::get_if<Grant>(&action)) {
      const Live& live = live_.at(grant->unit.request);
      log({static_cast<std::uint64_t>(now.since_start().count()), 4, grant->unit.request.value(),
           grant->unit.chunk.value(), static_cast<std::uint64_t>(grant->part),
           static_cast<std::uint64_t>(grant->reason)});
      result_.sent += grant->bytes;
      const std::uint32_t slot =
          store(letters_, free_letters_, Letter{*grant, live.prefill, shape_.prefill_nodes + node});
      return push(now + shape_.rtt / 2, Kind::kAsk, node, slot);
    }
    if (const auto* complete = std::get_if<Complete>(&action)) return end(node, *complete, now);
    if (const auto* recompute = std::get_if<Recompute>(&action)) {
      Live& live = live_.at(recompute->request);
      ++result_.recomputed;
      // One prefill at a time; the policy is not told of the others.
      Instant& free = brains_[node].compute_free;
      free = std::max(free, now) + prefill_time(shape_.prefill, live.tokens);
      finish(node, {recompute->request, kExactQuality, recompute->reason}, free);
    }
  }

  void end(std::uint32_t node, const Complete& complete, Instant now) {
    const Duration decode = shape_.codec.decode.per_request;
    finish(node, {complete.request, complete.quality, complete.reason},
           std::max(now, brains_[node].decode_free) + decode);
  }

  void finish(std::uint32_t node, const Outcome& outcome, Instant at) {
    const auto found = live_.find(outcome.request);
    const Live& live = found->second;
    log({static_cast<std::uint64_t>(at.since_start().count()), 5, outcome.request.value(), outcome.quality.count(),
         static_cast<std::uint64_t>(outcome.reason)});
    ++result_.ended;
    if (at <= live.due && outcome.quality >= shape_.floor) {
      ++result_.in_time;
      quality_sum_ += static_cast<double>(outcome.quality.count()) / 1e6;
    }
    result_.last_end = std::max(result_.last_end, at.since_start());
    brains_[node].tokens_waiting -= live.tokens.count();
    live_.erase(found);
  }

  const ClusterShape& shape_;
  const std::vector<Arrival>& arrivals_;
  Fabric fabric_;
  Random random_;
  std::vector<Instant> prefill_free_;
  std::vector<Brain> brains_;
  const PartSizes sizes_;
  std::size_t next_arrival_ = 0;
  std::vector<Timed> queue_;
  std::uint64_t order_ = 0;
  std::vector<Event> events_;
  std::vector<std::uint32_t> free_events_;
  std::vector<Letter> letters_;
  std::vector<std::uint32_t> free_letters_;
  std::unordered_map<RequestId, Live> live_;
  Actions actions_;
  ClusterResult result_;
  double quality_sum_ = 0;
  std::uint64_t digest_ = 0xcbf29ce484222325ULL;
};

}  // namespace

ClusterResult run_cluster(const ClusterShape& shape, const std::vector<Arrival>& arrivals) {
  return Cluster(shape, arrivals).run();
}

}  // namespace sluice::scheduler::sim
