#include "integration/demo/report.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/unit/demo/made_up_results.h"

namespace sluice::integration::demo {
namespace {

class Report : public testing::Test {
 protected:
  void SetUp() override {
    Result<DemoResults> results = made_up_run(backend_);
    ASSERT_TRUE(results);
    results_ = std::move(results).value();
  }

  MadeUpBackend backend_;
  DemoResults results_;
};

TEST_F(Report, JsonHasWhatTheClaimsRead) {
  const nlohmann::json json = nlohmann::json::parse(json_report(results_));
  EXPECT_EQ(json["reuse"]["links"].size(), 4U);
  EXPECT_EQ(json["reuse"]["slow_links"].size(), 2U);
  EXPECT_EQ(json["links"].size(), 8U);
  EXPECT_NEAR(json["reuse"]["slow_links"][0]["ttft_raw_over_sluice"].get<double>(), 1 / 0.15, 1e-3);
  EXPECT_TRUE(json["reuse"]["links"][0].contains("ttft_recompute_over_sluice"));
  EXPECT_NEAR(json["links"][0]["ttft_sluice_over_raw"].get<double>(), 0.15, 1e-3);
  EXPECT_EQ(json["hand_over"]["links"][0]["first_byte_before_prefill_end_ms"], 80.0);
}

TEST_F(Report, VerdictsNameTheWorstLink) {
  const std::vector<Verdict> verdicts = judge(results_);
  ASSERT_EQ(verdicts.size(), 5U);
  for (const Verdict& verdict : verdicts) EXPECT_TRUE(verdict.holds) << verdict.claim << " " << verdict.figure;
  for (Cell& cell : results_.scenes[1].links[2].cells) {
    if (cell.scheme == Scheme::kSluice) cell.ttfts = {std::chrono::seconds(30)};
  }
  std::size_t short_of = 0;
  for (const Verdict& verdict : judge(results_)) {
    if (verdict.holds) continue;
    ++short_of;
    EXPECT_NE(verdict.figure.find("reuse, 200 Mbit/s"), std::string::npos) << verdict.figure;
  }
  EXPECT_GE(short_of, 2U);
}

TEST_F(Report, PromisesThatWereNotMeasuredAreNotJudged) {
  EXPECT_TRUE(judge(DemoResults{}).empty());
  for (LinkResult& link : results_.scenes[1].links) link.cells.clear();
  for (const Verdict& verdict : judge(results_)) EXPECT_NE(verdict.claim, "foundation.3-gain");
}

TEST_F(Report, ARecordedEngineIsNotJudgedAndGivesTheClaimsNoFigure) {
  results_.scored = false;
  EXPECT_TRUE(judge(results_).empty());
  const nlohmann::json json = nlohmann::json::parse(json_report(results_));
  EXPECT_EQ(json["engine_computes"], false);
  for (const nlohmann::json& link : json["links"]) EXPECT_FALSE(link.contains("ttft_sluice_over_raw"));
}

TEST_F(Report, AFallBackIsNoEvidenceOfStreaming) {
  for (Cell& cell : results_.scenes[0].links[0].cells) cell.result.outcome = "recomputed";
  EXPECT_FALSE(ratios_of(results_.scenes[0].links[0]).first_byte_before_prefill_end_ms);
}

TEST_F(Report, PageNeedsNothingFromElsewhereAndEscapesText) {
  const std::string page = html_report(results_);
  EXPECT_EQ(page.find("http"), std::string::npos);
  EXPECT_EQ(page.find("<engine>"), std::string::npos);
  EXPECT_NE(page.find("&lt;engine&gt; &amp; co"), std::string::npos);
  EXPECT_NE(page.find("prefers-color-scheme"), std::string::npos);
  EXPECT_EQ(page.find("nan"), std::string::npos);
}

TEST_F(Report, EmptyResultsAreStillAPageATableAndJson) {
  EXPECT_FALSE(html_report({}).empty());
  EXPECT_FALSE(table_report({}).empty());
  EXPECT_TRUE(nlohmann::json::parse(json_report({})).is_object());
}

TEST_F(Report, TableTellsFailures) {
  results_.scenes[0].links[0].cells[1].error = "peer_lost";
  EXPECT_NE(table_report(results_).find("failed: peer_lost"), std::string::npos);
}

}  // namespace
}  // namespace sluice::integration::demo
