// What one event costs the planner while 10,000 requests are live on one ingress: time for each call of on(), and
// allocations. Prints JSON: percentiles in nanoseconds over the events of each kind and over all. The clock's own cost
// (some 20 ns) is in each figure.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <new>
#include <vector>

#include "base/random.h"
#include "scheduler/planner.h"
#include "scheduler/sim/codec_model.h"

namespace {

std::uint64_t allocations = 0;

}  // namespace

void* operator new(std::size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size)) return memory;
  std::abort();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace sluice::scheduler {
namespace {

constexpr std::uint64_t kLive = 10'000;
constexpr std::uint32_t kChunks = 16;
constexpr std::size_t kWarmEvents = 200'000;
constexpr std::size_t kEvents = 1'000'000;
constexpr BitsPerSecond kRate{100'000'000'000};
constexpr Bytes kUnitRows{4 * 1024 * 1024};
constexpr Duration kRtt{20'000};

/// What one event took, how many actions it led to, and which kind it was.
struct Time {
  std::int64_t nanoseconds = 0;
  std::size_t actions = 0;
  std::size_t kind = 0;
};

/// The time below which so many thousandths of the events lie that `counts` accepts; 0 when there are none.
template <typename Counts>
long long percentile(const std::vector<Time>& times, std::size_t thousandths, Counts counts) {
  std::vector<std::int64_t> chosen;
  for (const Time& time : times) {
    if (counts(time)) chosen.push_back(time.nanoseconds);
  }
  if (chosen.empty()) return 0;
  const auto at = chosen.begin() + static_cast<std::ptrdiff_t>((chosen.size() - 1) * thousandths / 1000);
  std::nth_element(chosen.begin(), at, chosen.end());
  return static_cast<long long>(*at);
}

/// Keeps so many requests open over a link that never rests: each that ends is followed by another.
class Load {
 public:
  Load() : planner_(options()) {
    times_.reserve(kEvents);
    actions_.reserve(4096);
    for (std::uint64_t i = 0; i < kLive; ++i) open();
  }

  void run(std::size_t events, bool is_measured) {
    for (std::size_t i = 0; i < events; ++i) {
      if (!opening_.empty()) {
        const Event event = opening_.front();
        opening_.pop_front();
        tell(event, is_measured && std::holds_alternative<Offered>(event));
      } else if (planner_.wake_at() <= now_ || flying_.empty()) {
        now_ = std::max(now_, planner_.wake_at());
        tell(Tick{}, is_measured);
      } else {
        const Grant grant = flying_.front();
        flying_.pop_front();
        now_ = now_ + time_to_send(grant.bytes, kRate);
        tell(PartArrived{grant.unit, grant.part, grant.bytes}, is_measured);
      }
    }
  }

  std::vector<Time>& times() { return times_; }
  std::uint64_t allocations_seen() const { return allocated_; }
  std::size_t live() const { return planner_.board().requests().size(); }

 private:
  static PolicyOptions options() {
    PolicyOptions options;
    options.decode = sim::tier2().decode;
    options.decode.workers = 64;
    options.quality = sim::tier2().quality;
    options.nominal_rate = kRate;
    options.nominal_is_trusted = true;
    options.nominal_rtt = kRtt;
    return options;
  }

  void open() {
    const RequestId request(++opened_);
    RequestOpened asked{.request = request, .tokens = Tokens(256 * kChunks)};
    // As many as the link carries in the deadline, within a factor of two either way.
    asked.deadline = now_ + Duration(2'000'000'000 + static_cast<std::int64_t>(random_.below(4'000'000'000)));
    asked.quality_floor = PartsPerMillion(920'000);
    opening_.push_back(asked);
    opening_.push_back(Accepted{request, kChunks, 1, kUnitRows * kChunks});
    for (std::uint32_t chunk = 0; chunk < kChunks; ++chunk) {
      opening_.push_back(Offered{UnitKey{request, ChunkIndex(chunk), LayerGroupIndex(0)}, kUnitRows, sizes_});
    }
    opening_.push_back(Sealed{request, Units(kChunks)});
  }

  void tell(const Event& event, bool is_measured) {
    actions_.clear();
    const std::uint64_t before = allocations;
    const auto start = std::chrono::steady_clock::now();
    planner_.on(event, now_, actions_);
    const auto end = std::chrono::steady_clock::now();
    if (is_measured) {
      allocated_ += allocations - before;
      times_.push_back({std::chrono::nanoseconds(end - start).count(), actions_.size(), event.index()});
    }
    for (const Action& action : actions_) {
      if (const auto* grant = std::get_if<Grant>(&action)) {
        flying_.push_back(*grant);
      } else {
        open();
      }
    }
  }

  Planner planner_;
  Random random_{7};
  const PartSizes sizes_ = sim::tier2().sizes(kUnitRows);
  Instant now_;
  std::uint64_t opened_ = 0;
  std::deque<Event> opening_;
  std::deque<Grant> flying_;
  Actions actions_;
  std::vector<Time> times_;
  std::uint64_t allocated_ = 0;
};

void print_costs() {
  Load load;
  load.run(kWarmEvents, false);
  load.run(kEvents, true);
  const std::vector<Time>& times = load.times();
  const auto all = [](const Time&) { return true; };
  std::printf(
      "{\"live\": %zu, \"events\": %zu, \"p50_ns\": %lld, \"p99_ns\": %lld, \"p999_ns\": %lld, \"max_ns\": %lld, ",
      load.live(), times.size(), percentile(times, 500, all), percentile(times, 990, all), percentile(times, 999, all),
      percentile(times, 1000, all));
  const std::size_t offered = Event(Offered{}).index();
  const std::size_t arrived = Event(PartArrived{}).index();
  const auto of = [](std::size_t kind) { return [kind](const Time& time) { return time.kind == kind; }; };
  const auto busy = [&](const Time& time) { return time.kind == arrived && time.actions > 1; };
  std::printf("\"offered\": {\"p50_ns\": %lld, \"p99_ns\": %lld}, \"arrived\": {\"p50_ns\": %lld, \"p99_ns\": %lld}, ",
              percentile(times, 500, of(offered)), percentile(times, 990, of(offered)),
              percentile(times, 500, of(arrived)), percentile(times, 990, of(arrived)));
  std::printf("\"arrived_with_several_actions\": {\"p50_ns\": %lld}, \"allocations\": %llu}\n",
              percentile(times, 500, busy), static_cast<unsigned long long>(load.allocations_seen()));
}

}  // namespace
}  // namespace sluice::scheduler

int main() {
  sluice::scheduler::print_costs();
  return 0;
}
