// The laws that hold for every policy under any events: random ones (the seed is printed) and all small ones.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "scheduler/sim/closed_loop.h"
#include "tests/unit/scheduler/law_keeper.h"

namespace sluice::scheduler {
namespace {

using sim::ClosedLoop;
using sim::Job;
using sim::Link;
using sim::sizes_of;
using testing_support::LawKeeper;

const char* const kPolicies[] = {"sluice",  "cachegen",      "cachegen-artifact", "kvserve",  "cake",     "lynx",
                                 "hicache", "raw",           "raw-fifo",          "raw-fair", "raw-drop", "lossless",
                                 "int8",    "fixed:base+r1", "recompute"};

/// Random events that mostly make sense, and some that do not.
class Chaos {
 public:
  explicit Chaos(std::uint64_t seed) : random_(seed) {}

  std::uint64_t below(std::uint64_t bound) {
    return std::uniform_int_distribution<std::uint64_t>(0, bound - 1)(random_);
  }
  Instant advance() {
    now_ = now_ + Duration(static_cast<std::int64_t>(below(4) == 0 ? below(200'000'000) : below(1'000'000)));
    return now_;
  }
  Instant now() const { return now_; }

  Event next(const LawKeeper& laws) {
    const auto flying = laws.in_flight();
    if (!flying.empty() && below(2) == 0) {
      const auto [unit, part] = flying[below(flying.size())];
      if (below(6) == 0) return PartFailed{unit, part};
      return PartArrived{unit, part, Bytes(1 + below(1'000'000))};
    }
    const RequestId request(1 + below(opened_ + 1));
    switch (below(9)) {
      case 0:
        return open();
      case 1:
        return Accepted{request, static_cast<std::uint32_t>(below(4)), static_cast<std::uint32_t>(below(3)),
                        Bytes(below(10'000'000))};
      case 2:
      case 3:
      case 4:
        return offer(request);
      case 5:
        return Sealed{request, Units(below(10))};
      case 6:
        return odd(request);
      case 7:
        return LinkSample{Bytes(below(10'000'000)), Duration(static_cast<std::int64_t>(below(50'000'000)))};
      default:
        return Tick{};
    }
  }

 private:
  Event open() {
    RequestOpened opened;
    opened.request = RequestId(++opened_);
    opened.deadline = now_ + Duration(static_cast<std::int64_t>(below(3'000'000'000)));
    opened.deadline_kind = below(4) == 0 ? DeadlineKind::kSoft : DeadlineKind::kHard;
    opened.mode = below(2) == 0 ? Mode::kHandOver : Mode::kReuse;
    opened.quality_floor = PartsPerMillion(below(3) == 0 ? 960'000 : below(940'000));
    opened.quality_target = PartsPerMillion(900'000 + below(100'001));
    opened.recompute = below(2) == 0 ? Duration::max() : Duration(static_cast<std::int64_t>(below(4'000'000'000)));
    for (const Part part : kAllParts) opened.wanted[part] = below(8) != 0;
    if (below(2) == 0) opened.quality = curve();
    return opened;
  }
  /// Any points, as long as more stages are no worse.
  QualityCurve curve() {
    QualityCurve curve;
    std::uint64_t highest = 0;
    for (const Part part : kAllParts) {
      const std::uint64_t point = below(1'000'001);
      highest = part_place(part) < kStageParts ? std::max(highest, point) : point;
      curve.points[part] = PartsPerMillion(std::max<std::uint64_t>(1, highest));
    }
    return curve;
  }
  Event offer(RequestId request) {
    const UnitKey unit{request, ChunkIndex(static_cast<std::uint32_t>(below(4))),
                       LayerGroupIndex(static_cast<std::uint32_t>(below(3)))};
    // A unit's rows follow from its key: a peer that changes its mind is another test.
    const Bytes raw(100'000 * (1 + unit.chunk.value()) + unit.group.value());
    PartSizes sizes = sizes_of(raw);
    for (const Part part : kAllParts) {
      if (below(5) == 0) sizes[part] = Bytes(0);
    }
    return Offered{unit, raw, sizes};
  }
  Event odd(RequestId request) {
    const UnitKey unit{request, ChunkIndex(static_cast<std::uint32_t>(below(9))),
                       LayerGroupIndex(static_cast<std::uint32_t>(below(9)))};
    const Part part = below(8) == 0 ? static_cast<Part>(below(256)) : kAllParts[below(kAllParts.size())];
    switch (below(5)) {
      case 4:
        return DecodeSample{part, Bytes(below(10'000'000)), Duration(static_cast<std::int64_t>(below(50'000'000))),
                            static_cast<std::uint32_t>(below(4))};
      case 0:
        return PartArrived{unit, part, Bytes(below(1000))};
      case 1:
        return PartFailed{unit, part};
      case 2:
        return RttSample{Duration(static_cast<std::int64_t>(below(100'000'000)))};
      default:
        return below(4) == 0 ? Event(RequestClosed{request}) : Event(Tick{});
    }
  }

  std::mt19937_64 random_;
  Instant now_;
  std::uint64_t opened_ = 0;
};

struct ChaoticRun {
  std::vector<std::pair<Instant, Event>> events;
  std::vector<std::string> actions;
  std::vector<std::string> broken;
};

ChaoticRun chaotic_run(const char* name, std::uint64_t seed) {
  const PolicyOptions options;
  auto policy = make_policy(name, options).value();
  LawKeeper laws(std::string_view(name) == "sluice", options);
  Chaos chaos(seed);
  ChaoticRun run;
  Actions actions;
  const auto deliver = [&](const Event& event, Instant now) {
    laws.before(event);
    actions.clear();
    policy->on(event, now, actions);
    laws.after(actions, now);
    run.events.emplace_back(now, event);
    for (const Action& action : actions) run.actions.push_back(explain(action));
  };
  for (int step = 0; step < 300 && laws.broken().empty(); ++step) {
    const Instant before = chaos.now();
    const Instant now = chaos.advance();
    // As a node does: timers that fell due come first, at their own time.
    for (int ticks = 0; policy->wake_at() < now && ticks < 2000; ++ticks) {
      deliver(Tick{}, std::max(before, policy->wake_at()));
      if (!run.events.empty() && policy->wake_at() <= run.events.back().first) break;
    }
    deliver(chaos.next(laws), std::max(now, run.events.empty() ? now : run.events.back().first));
  }
  run.broken = laws.broken();
  return run;
}

TEST(Laws, HoldUnderRandomEvents) {
  const std::uint64_t start = std::random_device{}();
  for (const char* name : kPolicies) {
    for (std::uint64_t seed = start; seed < start + 50; ++seed) {
      const ChaoticRun run = chaotic_run(name, seed);
      ASSERT_TRUE(run.broken.empty()) << name << ", seed " << seed << ", event " << run.events.size() << ": "
                                      << run.broken.front();
    }
  }
}

TEST(Laws, SameEventsGiveSameActions) {
  const std::uint64_t start = std::random_device{}();
  for (const char* name : kPolicies) {
    for (std::uint64_t seed = start; seed < start + 10; ++seed) {
      const ChaoticRun run = chaotic_run(name, seed);
      auto policy = make_policy(name, PolicyOptions{}).value();
      Actions actions;
      for (const auto& [at, event] : run.events) policy->on(event, at, actions);
      ASSERT_EQ(actions.size(), run.actions.size()) << name << ", seed " << seed;
      for (std::size_t i = 0; i < actions.size(); ++i) ASSERT_EQ(explain(actions[i]), run.actions[i]);
    }
  }
}

/// One request of two units that offer `offered` (a bit per part); every granted part fails or arrives as the bits of
/// `fates` say. Returns the terminal actions.
std::size_t small_run(const char* name, unsigned offered, unsigned fates, std::vector<std::string>& broken) {
  const PolicyOptions options;
  auto policy = make_policy(name, options).value();
  LawKeeper laws(std::string_view(name) == "sluice", options);
  const RequestId request(1);
  PartSizes sizes = sizes_of(Bytes(100'000));
  for (std::size_t place = 0; place < kAllParts.size(); ++place) {
    if ((offered >> place & 1U) == 0) sizes[kAllParts[place]] = Bytes(0);
  }
  std::vector<Event> events = {
      RequestOpened{request, Instant(Duration(1'000'000'000)), DeadlineKind::kHard, Mode::kReuse,
                    PartsPerMillion(930'000), PartsPerMillion(1'000'000), Tokens(512), Duration(500'000'000)},
      Accepted{request, 2, 1, Bytes(200'000)}, Offered{UnitKey{request, ChunkIndex(0), {}}, Bytes(100'000), sizes},
      Offered{UnitKey{request, ChunkIndex(1), {}}, Bytes(100'000), sizes}, Sealed{request, Units(2)}};
  std::size_t terminals = 0;
  Actions actions;
  Instant now;
  for (std::size_t step = 0; step < events.size() && step < 200; ++step) {
    now = now + Duration(1'000'000);
    laws.before(events[step]);
    actions.clear();
    policy->on(events[step], now, actions);
    laws.after(actions, now);
    for (const Action& action : actions) {
      if (const auto* grant = std::get_if<Grant>(&action)) {
        const bool is_failing = (fates & 1U) != 0;
        fates >>= 1;
        events.push_back(is_failing ? Event(PartFailed{grant->unit, grant->part})
                                    : Event(PartArrived{grant->unit, grant->part, grant->bytes}));
      } else {
        ++terminals;
      }
    }
  }
  for (int ticks = 0; ticks < 2000 && policy->wake_at() != Instant::never(); ++ticks) {
    now = std::max(now + Duration(1), policy->wake_at());
    laws.before(Tick{});
    actions.clear();
    policy->on(Tick{}, now, actions);
    laws.after(actions, now);
    terminals += actions.size();
  }
  broken = laws.broken();
  return terminals;
}

TEST(Laws, EverySmallRequestEndsExactlyOnce) {
  for (const char* name : kPolicies) {
    for (unsigned offered = 1; offered < 128; ++offered) {
      for (unsigned fates = 0; fates < 64; ++fates) {
        std::vector<std::string> broken;
        const std::size_t terminals = small_run(name, offered, fates, broken);
        ASSERT_EQ(terminals, 1u) << name << " offered " << offered << " fates " << fates;
        ASSERT_TRUE(broken.empty()) << name << " offered " << offered << " fates " << fates << ": " << broken.front();
      }
    }
  }
}

Link steady(std::uint64_t rate, Duration rtt = Duration(1'000'000)) {
  return Link{{{Duration(0), BitsPerSecond(rate)}}, rtt};
}

TEST(Laws, BytesInFlightAreBounded) {
  for (const std::uint64_t rate : {1'000'000ULL, 100'000'000ULL, 10'000'000'000ULL}) {
    for (const std::int64_t rtt : {100'000LL, 10'000'000LL, 200'000'000LL}) {
      PolicyOptions options;
      options.nominal_rate = BitsPerSecond(rate);
      const Link link = steady(rate, Duration(rtt));
      ClosedLoop fluid(link, options);
      auto policy = make_policy("sluice", options).value();
      Job job;
      job.deadline = Duration(3'600'000'000'000);
      job.chunks = 32;
      fluid.run(*policy, {job});
      const Bytes window =
          std::max(sent_within(Duration(rtt), BitsPerSecond(rate)) * options.window_bdp, options.smallest_window);
      const Bytes largest = sizes_of(job.unit_raw)[Part::kRaw];
      // A hundredth of room: the estimate may be that far above the truth.
      EXPECT_LE(fluid.trace().most_in_flight, std::max(window + window / 100 + largest, largest * 2))
          << rate << " bit/s, " << rtt << " ns";
    }
  }
}

TEST(Laws, AnInfeasibleDeadlineIsGivenUpAtOnceWhereRecomputeIsSooner) {
  PolicyOptions options;
  Job job;
  job.deadline = Duration(5'000'000'000);
  // The bases alone take 26 s.
  for (const std::int64_t seconds : {10, 23, 60}) {
    auto policy = make_policy("sluice", options).value();
    ClosedLoop fluid(steady(1'000'000), options);
    job.recompute = Duration(seconds * 1'000'000'000);
    const auto outcome = fluid.run(*policy, {job}).front();
    EXPECT_EQ(outcome.is_recomputed, seconds < 26) << seconds;
    if (!outcome.is_recomputed) continue;
    EXPECT_EQ(outcome.reason, Reason::kDeadlineInfeasible);
    EXPECT_LE(outcome.ttft - job.recompute, Duration(10'000'000));
  }
}

TEST(Laws, AFastLinkCarriesRawRows) {
  PolicyOptions options;
  options.nominal_rate = BitsPerSecond(100'000'000'000);
  options.nominal_is_trusted = true;
  auto policy = make_policy("sluice", options).value();
  ClosedLoop fluid(steady(100'000'000'000), options);
  Job job;
  job.deadline = Duration(1'000'000'000);
  EXPECT_EQ(fluid.run(*policy, {job}, false).front().quality, kExactQuality);
  for (const auto& [at, action] : fluid.trace().actions) {
    const auto* grant = std::get_if<Grant>(&action);
    if (grant == nullptr) continue;
    EXPECT_EQ(grant->part, Part::kRaw);
    EXPECT_EQ(grant->reason, Reason::kBypassRaw);
  }
}

TEST(Laws, ALinkThatStallsEndsByTheDeadline) {
  for (const bool can_recompute : {true, false}) {
    PolicyOptions options;
    auto policy = make_policy("sluice", options).value();
    const Link link{{{Duration(0), BitsPerSecond(100'000'000)}, {Duration(1'100'000'000), BitsPerSecond(1'000)}},
                    Duration(1'000'000)};
    ClosedLoop fluid(link, options);
    Job job;
    job.deadline = Duration(3'000'000'000);
    job.recompute = can_recompute ? Duration(1'000'000'000) : Duration::max();
    const auto outcome = fluid.run(*policy, {job}).front();
    EXPECT_TRUE(outcome.is_recomputed);
    if (can_recompute) {
      EXPECT_LE(outcome.ttft, job.deadline) << "given up early enough to recompute in time";
    }
    EXPECT_LE(fluid.trace().actions.back().first - Instant(Duration(1'000'000'000)), job.deadline);
  }
}

TEST(Laws, AnUrgentRequestOvertakes) {
  PolicyOptions options;
  auto policy = make_policy("sluice", options).value();
  ClosedLoop fluid(steady(50'000'000), options);
  Job patient;
  patient.deadline = Duration(60'000'000'000);
  patient.chunks = 16;
  Job urgent;
  urgent.request = RequestId(2);
  urgent.opened = Duration(500'000'000);
  urgent.deadline = Duration(2'000'000'000);
  const auto outcomes = fluid.run(*policy, {patient, urgent});
  EXPECT_FALSE(outcomes[1].is_recomputed);
  EXPECT_LE(outcomes[1].ttft, urgent.deadline - urgent.opened);
  EXPECT_FALSE(outcomes[0].is_recomputed);
}

/// Parts that were asked for when everything but `unwanted` was of use.
std::vector<Part> asked_without(const char* policy_name, Part unwanted) {
  const PolicyOptions options;
  auto policy = make_policy(policy_name, options).value();
  const RequestId request(1);
  RequestOpened opened{.request = request, .deadline = Instant(Duration(60'000'000'000)), .tokens = Tokens(256)};
  opened.wanted[unwanted] = false;
  Actions actions;
  policy->on(opened, Instant(), actions);
  policy->on(Accepted{request, 1, 1, Bytes(100'000)}, Instant(), actions);
  policy->on(Offered{UnitKey{request, {}, {}}, Bytes(100'000), sizes_of(Bytes(100'000))}, Instant(), actions);
  policy->on(Sealed{request, Units(1)}, Instant(), actions);
  std::vector<Part> asked;
  for (std::size_t i = 0; i < actions.size(); ++i) {
    const auto* grant = std::get_if<Grant>(&actions[i]);
    if (grant == nullptr) continue;
    asked.push_back(grant->part);
    policy->on(PartArrived{grant->unit, grant->part, grant->bytes}, Instant(), actions);
  }
  EXPECT_FALSE(std::holds_alternative<Grant>(actions.back())) << policy_name << " did not end the request";
  return asked;
}

TEST(Laws, APartThatIsNotWantedIsNotAskedFor) {
  using testing::ElementsAre;
  for (const Part part : kAllParts) {
    for (const char* name : kPolicies) {
      EXPECT_THAT(asked_without(name, part), testing::Not(testing::Contains(part))) << name;
    }
  }
  EXPECT_THAT(asked_without("everything", Part::kRaw),
              ElementsAre(Part::kBase, Part::kRefinement1, Part::kRefinement2, Part::kLossless, Part::kInt8));
  EXPECT_THAT(asked_without("fixed:base+r1", Part::kRefinement1), ElementsAre(Part::kBase));
  EXPECT_THAT(asked_without("fixed:base+r1", Part::kBase), ElementsAre());
  EXPECT_THAT(asked_without("raw", Part::kRaw), ElementsAre());
}

}  // namespace
}  // namespace sluice::scheduler
