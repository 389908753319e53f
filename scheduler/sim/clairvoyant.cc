#include "scheduler/sim/clairvoyant.h"

#include <algorithm>

#include "base/assert.h"

namespace sluice::scheduler::sim {
namespace {

/// A level as bytes and quality of one unit.
struct Point {
  std::uint64_t bytes = 0;
  std::uint64_t quality = 0;
};

/// Upper concave hull of the levels that reach the floor, by bytes.
std::vector<Point> hull_of(const PartSizes& sizes, const QualityCurve& curve, PartsPerMillion floor) {
  std::vector<Point> points;
  const auto add = [&](std::uint64_t bytes, Part part) {
    if (curve.points[part] >= floor) points.push_back({bytes, curve.points[part].count()});
  };
  std::uint64_t stages = 0;
  for (const Part part : kAllParts) {
    if (sizes[part].is_zero()) continue;
    const bool is_stage = part_place(part) < kStageParts;
    if (is_stage) stages += sizes[part].count();
    add(is_stage ? stages : sizes[part].count(), part);
  }
  std::sort(points.begin(), points.end(), [](const Point& left, const Point& right) {
    return left.bytes != right.bytes ? left.bytes < right.bytes : left.quality > right.quality;
  });
  std::vector<Point> hull;
  for (const Point& point : points) {
    if (!hull.empty() && point.quality <= hull.back().quality) continue;
    const auto is_below = [&] {
      const Point& low = hull[hull.size() - 2];
      const Point& middle = hull.back();
      return static_cast<WideCount>(middle.quality - low.quality) * (point.bytes - low.bytes) <=
             static_cast<WideCount>(point.quality - low.quality) * (middle.bytes - low.bytes);
    };
    while (hull.size() > 1 && is_below()) hull.pop_back();
    hull.push_back(point);
  }
  return hull;
}

/// Mean quality of `units` that share `bytes`; zero when they cannot all reach the lowest level.
std::uint64_t quality_for(const std::vector<Point>& hull, Bytes bytes, std::uint64_t units) {
  if (hull.empty() || bytes.count() / units < hull.front().bytes) return 0;
  const std::uint64_t each = bytes.count() / units;
  for (std::size_t i = 1; i < hull.size(); ++i) {
    if (each >= hull[i].bytes) continue;
    const WideCount gained = static_cast<WideCount>(hull[i].quality - hull[i - 1].quality) * (each - hull[i - 1].bytes);
    return hull[i - 1].quality + static_cast<std::uint64_t>(gained / (hull[i].bytes - hull[i - 1].bytes));
  }
  return hull.back().quality;
}

/// Bytes that the link carries between two moments.
Bytes carried(const Link& link, Instant from, Instant until) {
  Bytes sum;
  while (from < until) {
    const std::size_t phase = link.phase_at(from);
    const bool is_last = phase + 1 == link.phases.size();
    const Instant end = is_last ? until : std::min(until, Instant(link.phases[phase + 1].since));
    sum += sent_within(end - from, link.phases[phase].rate);
    from = end;
  }
  return sum;
}

}  // namespace

PartsPerMillion best_quality(const Link& link, const Job& job, const QualityCurve& curve) {
  // The scenario starts a second into virtual time.
  const Instant opened(Duration(1'000'000'000) + job.opened);
  const Instant deadline = opened + (job.deadline - job.first_token);
  const std::vector<Point> hull = hull_of(job.sizes, curve, job.floor);
  const Bytes bytes = carried(link, opened + link.rtt, deadline);
  std::uint64_t best = 0;
  for (std::uint32_t chunks = 0; chunks <= job.chunks; ++chunks) {
    if (chunks > 0) {
      if (!job.prefill) break;
      if (prefill_time(*job.prefill, Tokens(std::uint64_t{chunks} * job.chunk_tokens)) > deadline - opened) break;
    }
    const std::uint64_t rest = std::uint64_t{job.chunks - chunks} * job.groups;
    const std::uint64_t loaded = rest == 0 ? 0 : quality_for(hull, bytes, rest);
    if (rest > 0 && loaded == 0) continue;
    const std::uint64_t all = std::uint64_t{job.chunks} * job.groups;
    SLUICE_ASSERT(all > 0);
    best = std::max(best, (loaded * rest + kExactQuality.count() * (all - rest)) / all);
  }
  return PartsPerMillion(best);
}

std::size_t most_in_time(const std::vector<Demand>& demands, BitsPerSecond rate) {
  struct Open {
    Duration due;
    Duration left;
  };
  std::vector<Demand> coming = demands;
  std::stable_sort(coming.begin(), coming.end(),
                   [](const Demand& left, const Demand& right) { return left.released < right.released; });
  const auto is_sooner = [](const Open& left, const Open& right) { return left.due < right.due; };
  std::vector<Open> open;
  std::size_t in_time = 0;
  Duration now{0};
  for (std::size_t next = 0; next < coming.size() || !open.empty();) {
    const Duration until = next < coming.size() ? coming[next].released : Duration::max();
    while (!open.empty() && now < until) {
      const Duration step = std::min(open.front().left, until - now);
      now += step;
      open.front().left -= step;
      if (open.front().left.count() > 0) break;
      ++in_time;
      open.erase(open.begin());
    }
    if (next == coming.size()) continue;
    now = std::max(now, until);
    // All that come at once are weighed together.
    for (; next < coming.size() && coming[next].released <= now; ++next) {
      const Open added{coming[next].due, time_to_send(coming[next].bytes, rate)};
      open.insert(std::upper_bound(open.begin(), open.end(), added, is_sooner), added);
    }
    // Feasible until proven otherwise; the largest that is before the first late one goes.
    for (bool is_late = true; is_late;) {
      is_late = false;
      Duration end = now;
      for (std::size_t i = 0; i < open.size() && !is_late; ++i) {
        end += open[i].left;
        if (end <= open[i].due) continue;
        is_late = true;
        const auto last = open.begin() + static_cast<std::ptrdiff_t>(i) + 1;
        open.erase(std::max_element(open.begin(), last,
                                    [](const Open& left, const Open& right) { return left.left < right.left; }));
      }
    }
  }
  return in_time;
}

}  // namespace sluice::scheduler::sim
