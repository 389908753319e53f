#include "tests/sim/run_plan.h"

#include <fmt/format.h>

namespace sluice::transport::simtest {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

void draw_endpoint(sim::World& world, EndpointOptions& endpoint) {
  endpoint.heartbeat = milliseconds(world.between(10, 100));
  endpoint.misses = static_cast<std::uint32_t>(world.between(2, 5));
  endpoint.handshake_timeout = milliseconds(world.between(50, 500));
  endpoint.part_retries = static_cast<std::uint32_t>(world.between(0, 3));
  endpoint.ring = Bytes(world.one_in(3) ? world.between(20'480, 65'536) : 1U << 20U);
  endpoint.slots = static_cast<std::uint32_t>(world.one_in(3) ? world.between(1, 4) : 64);
  endpoint.max_requests_per_session = static_cast<std::uint32_t>(world.one_in(8) ? world.between(1, 3) : 64);
}

void draw_calm(sim::World& world, RunPlan& plan) {
  plan.calm = true;
  plan.endpoint.max_requests_per_session = 64;
  plan.endpoint.misses = static_cast<std::uint32_t>(world.between(3, 5));
  plan.pipes.delay = microseconds(world.between(20, 4'000));
  plan.pipes.rate = BitsPerSecond(world.between(100'000'000, 1'000'000'000));
  plan.shortest_deadline = plan.longest_deadline = milliseconds(3'000);
  plan.length = milliseconds(300);
}

void draw_faults(sim::World& world, RunPlan& plan) {
  const auto some = [&](std::uint64_t most) {
    return static_cast<std::uint32_t>(world.one_in(3) ? world.between(1, most) : 0);
  };
  plan.pipes.delay = microseconds(world.between(20, 20'000));
  plan.pipes.rate = BitsPerSecond(world.one_in(3) ? world.between(500'000, 20'000'000) : 1'000'000'000U);
  if (world.one_in(6)) plan.pipes.queue = Bytes(world.between(1'000, 60'000));
  if (world.one_in(4)) plan.frames.flip_one_in = world.between(5, 500);
  if (world.one_in(4)) plan.frames.double_one_in = world.between(2, 20);
  if (world.one_in(6)) plan.frames.tamper_one_in = world.one_in(3) ? 2 : world.between(3, 50);
  if (world.one_in(3)) plan.frames.losses = static_cast<std::uint32_t>(world.between(1, 3));
  plan.frames.ends_vanish = world.one_in(20);
  plan.resets = some(4);
  plan.partitions = some(4);
  plan.pauses = some(3);
  plan.kills = world.one_in(5);
  plan.drains = world.one_in(6);
  if (world.one_in(12)) plan.skew = static_cast<Skew>(world.between(1, 6));
  plan.restarts = plan.kills && plan.skew == Skew::kNone && world.one_in(2);
}

// The last request begins at `length`; its end is said again 5 times, every 2 heartbeats; a partition or pause that
// begins last is over after 1.2 s, and a silence is found after all misses.
Duration settling_time(const RunPlan& plan) {
  const Duration again = plan.restarts ? plan.length + milliseconds(300) : Duration(0);
  const Duration held = plan.partitions + plan.pauses == 0 ? Duration(0) : Duration(milliseconds(1'200));
  return plan.longest_deadline + plan.endpoint.heartbeat * (14 + 2 * plan.endpoint.misses) + held + again +
         plan.endpoint.handshake_timeout + milliseconds(200);
}

}  // namespace

RunPlan draw_plan(sim::World& world) {
  RunPlan plan;
  plan.nodes = static_cast<std::uint32_t>(world.between(2, 3));
  plan.requests = static_cast<std::uint32_t>(world.between(1, 8));
  draw_endpoint(world, plan.endpoint);
  if (world.one_in(6)) {
    draw_calm(world, plan);
  } else {
    draw_faults(world, plan);
  }
  plan.settle = settling_time(plan);
  return plan;
}

RunPlan draw_tampering(sim::World& world) {
  RunPlan plan;
  plan.nodes = 2;
  plan.requests = 16;
  plan.largest_part = 3'000;
  plan.endpoint.heartbeat = milliseconds(50);
  plan.endpoint.part_retries = 8;
  plan.pipes.delay = microseconds(world.between(20, 500));
  plan.frames.tamper_one_in = 2;
  plan.longest_deadline = milliseconds(300);
  plan.length = milliseconds(400);
  plan.settle = settling_time(plan);
  return plan;
}

std::string in_words(const RunPlan& plan) {
  return fmt::format(
      "{}{} nodes, {} requests each, heartbeat {} ms x {}, ring {} in {} slots, delay {} us, {} bit/s, queue {}; "
      "frames: "
      "flipped 1/{}, doubled 1/{}, tampered 1/{}, {} lost{}; {} resets, {} partitions, {} pauses{}{}{}, skew {}",
      plan.calm ? "calm, " : "", plan.nodes, plan.requests, plan.endpoint.heartbeat.count() / 1'000'000,
      plan.endpoint.misses, plan.endpoint.ring.count(), plan.endpoint.slots, plan.pipes.delay.count() / 1'000,
      plan.pipes.rate.count(), plan.pipes.queue.count(), plan.frames.flip_one_in, plan.frames.double_one_in,
      plan.frames.tamper_one_in, plan.frames.losses, plan.frames.ends_vanish ? " and all ends" : "", plan.resets,
      plan.partitions, plan.pauses, plan.kills ? ", a kill" : "", plan.restarts ? " and restart" : "",
      plan.drains ? ", a drain" : "", static_cast<int>(plan.skew));
}

}  // namespace sluice::transport::simtest
