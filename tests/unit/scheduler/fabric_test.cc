// Laws of shared links: max-min fairness, conservation of bytes, and queues whose answers are known in closed form.
#include "scheduler/sim/fabric.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <random>
#include <set>

#include "base/random.h"
#include "scheduler/sim/trial.h"

namespace sluice::scheduler::sim {
namespace {

using Ends = std::pair<std::uint32_t, std::uint32_t>;

/// Ports of a pair, named by hand: egress, ingress, uplink, downlink.
std::vector<std::pair<char, std::uint32_t>> ports_of(const FabricShape& shape, Ends pair) {
  std::vector<std::pair<char, std::uint32_t>> ports = {{'e', pair.first}, {'i', pair.second}};
  if (shape.rack_nodes == 0 || pair.first / shape.rack_nodes == pair.second / shape.rack_nodes) return ports;
  ports.emplace_back('u', pair.first / shape.rack_nodes);
  ports.emplace_back('d', pair.second / shape.rack_nodes);
  return ports;
}

TEST(Fabric, SharesAreMaxMinFair) {
  Random random(3);
  for (int round = 0; round < 200; ++round) {
    FabricShape shape{12, BitsPerSecond(1'000'000 + random.below(1'000'000)), 0, BitsPerSecond(0)};
    if (round % 2 == 1)
      shape = FabricShape{12, BitsPerSecond(1'000'000), 4, BitsPerSecond(500'000 + random.below(4'000'000))};
    Fabric fabric(shape);
    std::set<Ends> pairs;
    for (std::uint64_t i = 0; i < 1 + random.below(40); ++i) {
      const Ends ends(random.below(12), random.below(12));
      fabric.send({i, ends.first, ends.second, Bytes(1'000)}, Instant());
      pairs.insert(ends);
    }
    std::map<std::pair<char, std::uint32_t>, std::uint64_t> used;
    std::map<std::pair<char, std::uint32_t>, std::uint64_t> highest;
    for (const Ends& pair : pairs) {
      const std::uint64_t rate = fabric.rate(pair.first, pair.second).count();
      for (const auto& port : ports_of(shape, pair)) {
        used[port] += rate;
        highest[port] = std::max(highest[port], rate);
      }
    }
    const auto capacity = [&](char kind) {
      return kind == 'e' || kind == 'i' ? shape.port.count() : shape.rack_port.count();
    };
    for (const auto& [port, rate] : used) ASSERT_LE(rate, capacity(port.first));
    // Each pair has a full port on which nobody has more: whole bits a second are lost to rounding, one a pair.
    for (const Ends& pair : pairs) {
      const std::uint64_t rate = fabric.rate(pair.first, pair.second).count();
      const auto ports = ports_of(shape, pair);
      EXPECT_TRUE(std::any_of(
          ports.begin(), ports.end(),
          [&](const auto& port) { return used[port] + 40 >= capacity(port.first) && highest[port] <= rate + 40; }))
          << "round " << round;
    }
  }
}

TEST(Fabric, EveryMessageComesOnceAndNoPortIsFasterThanItIs) {
  Random random(5);
  for (int round = 0; round < 50; ++round) {
    Fabric fabric(FabricShape{4, BitsPerSecond(8'000'000'000), 0, BitsPerSecond(0)});
    std::map<MessageId, std::pair<Ends, Bytes>> sent;
    std::map<std::uint32_t, Bytes> into;
    Instant now;
    Instant last;
    std::set<MessageId> come;
    const auto take = [&] {
      last = fabric.next();
      const MessageId message = fabric.take();
      EXPECT_TRUE(come.insert(message).second);
      into[sent[message].first.second] += sent[message].second;
    };
    for (MessageId id = 1; id <= 200; ++id) {
      now = now + Duration(static_cast<std::int64_t>(random.below(3'000)));
      while (fabric.next() <= now) take();
      const Ends ends(random.below(4), random.below(4));
      const Bytes bytes(1 + random.below(5'000));
      sent[id] = {ends, bytes};
      fabric.send({id, ends.first, ends.second, bytes}, now);
    }
    while (fabric.next() != Instant::never()) take();
    EXPECT_EQ(come.size(), sent.size());
    EXPECT_EQ(fabric.active_pairs(), 0u);
    // A byte takes a nanosecond on a port.
    for (const auto& [node, bytes] : into)
      EXPECT_LE(bytes.count(), static_cast<std::uint64_t>(last.since_start().count()));
  }
}

TEST(Fabric, OnePortAloneIsExact) {
  Fabric fabric(FabricShape{3, BitsPerSecond(8'000'000'000), 0, BitsPerSecond(0)});
  fabric.send({1, 0, 2, Bytes(1'000)}, Instant());
  fabric.send({2, 1, 2, Bytes(3'000)}, Instant());
  EXPECT_EQ(fabric.next(), Instant(Duration(2'000)));
  EXPECT_EQ(fabric.take(), 1u);
  EXPECT_EQ(fabric.next(), Instant(Duration(4'000)));
  EXPECT_EQ(fabric.take(), 2u);
}

/// Mean time in a processor-sharing queue with Poisson arrivals: E[S] / (1 - load), whatever the sizes' distribution.
TEST(Fabric, IsAnMM1QueueWithProcessorSharing) {
  constexpr std::uint32_t kSources = 400;
  constexpr double kMeanBytes = 1e6;
  for (const double load : {0.3, 0.7}) {
    Fabric fabric(FabricShape{kSources + 1, BitsPerSecond(8'000'000'000), 0, BitsPerSecond(0)});
    Random random(11);
    const auto exponential = [&](double mean) {
      return -mean * std::log((static_cast<double>(random.next() >> 11U) + 0.5) / 9007199254740992.0);
    };
    std::vector<Instant> came;
    double sum = 0;
    std::size_t done = 0;
    Instant now;
    for (std::size_t i = 0; i < 60'000; ++i) {
      now = now + Duration(static_cast<std::int64_t>(exponential(kMeanBytes / load)));
      while (fabric.next() <= now) {
        const Instant at = fabric.next();
        sum += static_cast<double>((at - came[fabric.take()]).count());
        ++done;
      }
      came.push_back(now);
      const auto bytes = static_cast<std::uint64_t>(exponential(kMeanBytes)) + 1;
      fabric.send({i, static_cast<std::uint32_t>(i % kSources), kSources, Bytes(bytes)}, now);
    }
    // A byte takes a nanosecond.
    EXPECT_NEAR(sum / static_cast<double>(done) / (kMeanBytes / (1 - load)), 1, 0.06) << load;
  }
}

TEST(EarliestDeadlineFirst, WhateverIsFeasibleWithATenthToSpareIsInTime) {
  Random random(17);
  constexpr BitsPerSecond kRate(10'000'000'000);
  for (int round = 0; round < 60; ++round) {
    // Built from a schedule: requests that follow each other on the link, each due a tenth after its end.
    std::vector<Job> jobs;
    const CodecModel codec = tier0();
    Duration busy{0};
    for (std::uint64_t id = 1; id <= 8; ++id) {
      Job job = request_of(Tokens(256 * (1 + random.below(16))), codec, fast_prefill());
      job.request = RequestId(id);
      job.recompute = Duration::max();
      job.prefill.reset();
      const Bytes base = job.sizes[Part::kBase] * job.chunks * job.groups;
      const Duration start = busy;
      busy += time_to_send(base, kRate);
      job.opened = Duration(static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(start.count()) + 1)));
      job.deadline = busy + busy / 10 + Duration(8'000'000) - job.opened;
      jobs.push_back(job);
    }
    Trial trial{.link = Link{{{Duration(0), kRate}}, Duration(200'000)}, .codec = codec, .nominal = kRate};
    const PolicyOptions options = options_of(trial);
    auto policy = make_policy("sluice", options).value();
    ClosedLoop loop(trial.link, options);
    for (const Outcome& outcome : loop.run(*policy, jobs)) {
      const Job& job = jobs[outcome.request.value() - 1];
      EXPECT_FALSE(outcome.is_recomputed) << "round " << round << ", request " << outcome.request.value();
      EXPECT_LE(outcome.ttft, job.deadline) << "round " << round << ", request " << outcome.request.value();
    }
  }
}

}  // namespace
}  // namespace sluice::scheduler::sim
