#include "metrics/counters.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <set>

#include "metrics/catalogue.h"
#include "metrics/prometheus/exporter.h"
#include "tests/unit/metrics/busy_node.h"

namespace sluice::metrics {
namespace {

using testing_support::example_options;
using testing_support::make_busy;

bool has_line(const std::string& text, const std::string& line) {
  return ("\n" + text).find("\n" + line + "\n") != std::string::npos;
}

std::string rendered(const Counters& counters) { return Exporter(counters).render(); }

TEST(Catalogue, NamesFollowTheConventions) {
  std::set<std::string_view> names;
  for (const MetricEntry& metric : catalogue()) {
    EXPECT_TRUE(names.insert(metric.name).second) << metric.name;
    EXPECT_TRUE(metric.name.starts_with("sluice_"));
    EXPECT_FALSE(metric.help.empty());
    EXPECT_EQ(metric.kind == SeriesKind::kCounter, metric.name.ends_with("_total")) << metric.name;
    EXPECT_GT(metric.label_count(), 0u);
  }
}

TEST(Counters, EveryMetricIsThereFromTheStart) {
  const Counters counters(example_options());
  const std::string text = rendered(counters);
  for (const MetricEntry& metric : catalogue()) {
    // Which transport carries a peer is known once there is a peer.
    if (metric.metric == Metric::kLinkInfo) continue;
    EXPECT_NE(text.find("# TYPE " + std::string(metric.name) + " "), std::string::npos) << metric.name;
  }
}

TEST(Counters, StartAtZero) {
  const Counters counters(example_options());
  for (const Family& family : counters.snapshot()) {
    if (family.name == "sluice_build_info") continue;
    for (const Sample& sample : family.samples) EXPECT_EQ(sample.value, 0) << family.name;
    for (const HistogramSample& sample : family.histograms) EXPECT_EQ(sample.histogram.total(), 0u) << family.name;
  }
}

TEST(Counters, EventsBecomeTheSeriesOfTheTable) {
  Counters counters(example_options());
  make_busy(counters);
  counters.set_pool(Bytes(10), Bytes(20), Bytes(30));
  const std::string text = rendered(counters);
  for (const char* line : {
           R"(sluice_transfers_total{direction="receive",peer="prefill-1",transport="tcp",outcome="ok"} 1)",
           R"(sluice_bytes_total{direction="receive",peer="prefill-1",transport="tcp",kind="wire"} 1500)",
           R"(sluice_bytes_total{direction="receive",peer="prefill-1",transport="tcp",kind="raw"} 8000)",
           R"(sluice_decisions_total{choice="base",reason="base_first"} 1)",
           R"(sluice_slo_missed_total{class="default",cause="link"} 1)",
           R"(sluice_integrity_failures_total{cause="digest_mismatch"} 1)",
           R"(sluice_fallback_total{cause="deadline_infeasible"} 1)",
           R"(sluice_link_bandwidth_bytes_per_second{peer="prefill-1"} 10000000)",
           R"(sluice_link_state{peer="prefill-1",state="down"} 1)",
           R"(sluice_link_info{peer="prefill-1",wanted="ucx",actual="tcp",reason="not the same host"} 1)",
           R"(sluice_handshakes_refused_total{field="model"} 1)",
           R"(sluice_circuits_opened_total{cause="unreachable"} 1)",
           R"(sluice_lease_expired_total{cause="time"} 1)",
           R"(sluice_pool_bytes{state="leased"} 30)",
       }) {
    EXPECT_TRUE(has_line(text, line)) << line;
  }
}

TEST(Counters, LabelsStayBoundedWhateverPeersSay) {
  CountersOptions options = example_options();
  options.most_peers = 4;
  Counters counters(options);
  const auto series = [&] {
    std::size_t count = 0;
    for (const Family& family : counters.snapshot()) count += family.samples.size() + family.histograms.size();
    return count;
  };
  const auto up = [](std::uint32_t peer) {
    return SessionUp{PeerId(peer), "tcp", "why", "tcp", PeerName("p" + std::to_string(peer))};
  };
  for (std::uint32_t peer = 0; peer <= 4; ++peer) counters.emit(up(peer), Instant());
  const std::size_t before = series();
  for (std::uint32_t peer = 5; peer < 1000; ++peer) {
    counters.emit(up(peer), Instant());
    counters.emit(RequestEnded{RequestId(peer), PeerId(peer), Side::kSend, Error{}, Duration(1), Duration(1)},
                  Instant());
  }
  EXPECT_EQ(series(), before);
  const auto words = {"made up", "", "a\"b\n"};
  for (const char* word : words) {
    counters.emit(Decided{RequestId(1), word, word, Duration(0)}, Instant());
    counters.emit(FellBack{RequestId(1), word}, Instant());
    counters.emit(Predicted{word, Duration(1), Duration(1)}, Instant());
  }
  EXPECT_LE(series(), before + 3);
}

TEST(Counters, APeerThatComesBackKeepsItsSeries) {
  Counters counters(example_options());
  const auto series = [&] {
    std::size_t count = 0;
    for (const Family& family : counters.snapshot()) count += family.samples.size() + family.histograms.size();
    return count;
  };
  const auto round = [&](std::uint32_t peer) {
    counters.emit(SessionUp{PeerId(peer), "tcp", "why", "tcp", PeerName("p")}, Instant());
    counters.emit(RequestEnded{RequestId(peer), PeerId(peer), Side::kSend, Error{}, Duration(1), Duration(1)},
                  Instant());
    counters.emit(SessionDown{PeerId(peer), Error{}}, Instant());
  };
  round(1);
  const std::size_t before = series();
  for (std::uint32_t peer = 2; peer < 200; ++peer) round(peer);
  EXPECT_EQ(series(), before);
  EXPECT_TRUE(has_line(rendered(counters),
                       R"(sluice_transfers_total{direction="send",peer="p",transport="tcp",outcome="ok"} 199)"));
  EXPECT_TRUE(has_line(rendered(counters), R"(sluice_link_state{peer="p",state="up"} 0)"));
}

TEST(Counters, AMissIsCountedOnceAndNamesWhatTookLongest) {
  Counters counters(example_options());
  const RequestId request(5);
  counters.emit(StepTimed{request, Step::kWire, Duration(10)}, Instant());
  counters.emit(StepTimed{request, Step::kEncode, Duration(90)}, Instant());
  counters.emit(StepTimed{request, Step::kQueue, Duration(20)}, Instant());
  const Error late{ErrorCode::kDeadlineMissed, 0, "deadline"};
  counters.emit(RequestEnded{request, PeerId(1), Side::kReceive, late, Duration(120), Duration(-20)}, Instant());
  counters.emit(RequestEnded{request, PeerId(1), Side::kSend, late, Duration(120), Duration(-20)}, Instant());
  const std::string text = rendered(counters);
  EXPECT_TRUE(has_line(text, R"(sluice_slo_missed_total{class="default",cause="codec"} 1)"));
  EXPECT_TRUE(has_line(text, R"(sluice_slo_missed_total{class="default",cause="link"} 0)"));
}

TEST(Histogram, CountsEachValueOnceInTheFirstBucketThatHoldsIt) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  std::uniform_real_distribution<double> exponent(-6, 3);
  Histogram histogram(seconds_bounds());
  std::vector<double> values;
  for (int i = 0; i < 2000; ++i) values.push_back(std::pow(10.0, exponent(random)));
  for (const double bound : seconds_bounds()) values.push_back(bound);
  for (const double value : values) histogram.observe(value);
  EXPECT_EQ(histogram.total(), values.size());
  std::uint64_t cumulative = 0;
  for (std::size_t place = 0; place < histogram.upper_bounds().size(); ++place) {
    cumulative += histogram.counts()[place];
    const double bound = histogram.upper_bounds()[place];
    EXPECT_EQ(cumulative, static_cast<std::uint64_t>(std::count_if(values.begin(), values.end(),
                                                                   [&](double value) { return value <= bound; })));
  }
}

TEST(Histogram, SecondsReachFromAHundredMicrosecondsToTwentySixSeconds) {
  ASSERT_EQ(seconds_bounds().size(), 19u);
  EXPECT_DOUBLE_EQ(seconds_bounds().front(), 1e-4);
  EXPECT_NEAR(seconds_bounds().back(), 26.2, 0.1);
}

}  // namespace
}  // namespace sluice::metrics
