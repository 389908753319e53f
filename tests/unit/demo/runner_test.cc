#include "integration/demo/runner.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/demo/made_up_results.h"

namespace sluice::integration::demo {
namespace {

std::size_t count_of(const MadeUpBackend& backend, const std::string& mode, const std::string& policy) {
  return static_cast<std::size_t>(
      std::count_if(backend.asked.begin(), backend.asked.end(),
                    [&](const ArmRequest& request) { return request.mode == mode && request.policy == policy; }));
}

TEST(Runner, StartsAFreshDecodeDaemonOnEachLinkAndWarmsUpUnshaped) {
  MadeUpBackend backend;
  ASSERT_TRUE(made_up_run(backend));
  ASSERT_EQ(backend.rates.size(), 5U);
  EXPECT_TRUE(backend.rates.front().is_zero());
  EXPECT_EQ(backend.asked[0].text, "short");
  EXPECT_EQ(backend.asked[2].text, "long");
}

TEST(Runner, MeasuresRecomputeOnceForEachSceneAndShowsItOnEveryLink) {
  MadeUpBackend backend;
  const Result<DemoResults> results = made_up_run(backend);
  ASSERT_TRUE(results);
  EXPECT_EQ(count_of(backend, "recompute", ""), 2U);
  for (const SceneResult& scene : results->scenes) {
    for (const LinkResult& link : scene.links) {
      ASSERT_NE(link.cell(Scheme::kRecompute), nullptr);
      EXPECT_EQ(link.cell(Scheme::kRecompute)->ttft(), std::chrono::seconds(2));
    }
  }
}

TEST(Runner, ScoresAgainstRawWhoseLogitsAreThoseOfNoHandOff) {
  MadeUpBackend backend;
  const Result<DemoResults> results = made_up_run(backend);
  ASSERT_TRUE(results);
  for (const SceneResult& scene : results->scenes) {
    for (const LinkResult& link : scene.links) {
      ASSERT_TRUE(link.cell(Scheme::kRaw)->result.divergence);
      EXPECT_EQ(link.cell(Scheme::kRaw)->result.divergence->mean, 0.0);
      EXPECT_TRUE(link.cell(Scheme::kInt8)->result.divergence);
    }
  }
}

TEST(Runner, ScoresNothingWhereRawIsNotNoHandOff) {
  MadeUpBackend backend;
  backend.raw_logits = "beef";
  const Result<DemoResults> results = made_up_run(backend);
  ASSERT_TRUE(results);
  for (const SceneResult& scene : results->scenes) {
    for (const LinkResult& link : scene.links) {
      for (const Cell& cell : link.cells) EXPECT_FALSE(cell.result.divergence) << scheme_name(cell.scheme);
    }
  }
}

TEST(Runner, AsksEveryArmOfALinkTheSameTextWithTheSameDeadline) {
  MadeUpBackend backend;
  const Result<DemoResults> results = made_up_run(backend);
  ASSERT_TRUE(results);
  std::map<std::string, std::vector<Duration>> deadlines;
  for (const ArmRequest& request : backend.asked) {
    if (request.mode == "reuse" && request.text == "long") deadlines[request.policy].push_back(request.deadline);
  }
  EXPECT_EQ(deadlines["int8"], deadlines["cachegen"]);
  for (const SceneResult& scene : results->scenes) {
    for (const LinkResult& link : scene.links) EXPECT_EQ(link.cells.size(), kAllSchemes.size());
  }
}

TEST(Runner, OnlySluiceFallsBackByTheDeadline) {
  MadeUpBackend backend;
  ASSERT_TRUE(made_up_run(backend));
  for (const ArmRequest& request : backend.asked) EXPECT_EQ(request.hard_deadline, request.policy == "sluice");
}

TEST(Runner, RepeatsRawAndSluiceWhereOneRunIsNoise) {
  MadeUpBackend backend;
  const Result<DemoResults> results = made_up_run(backend, {.scenes = {Scene::kReuse}});
  ASSERT_TRUE(results);
  EXPECT_EQ(results->scenes[0].links.back().cell(Scheme::kRaw)->ttfts.size(), 3U);
  EXPECT_EQ(results->scenes[0].links.back().cell(Scheme::kSluice)->ttfts.size(), 3U);
  EXPECT_EQ(results->scenes[0].links.front().cell(Scheme::kRaw)->ttfts.size(), 1U);
  EXPECT_EQ(count_of(backend, "reuse", "int8"), 4U);
}

TEST(Runner, GoesOnWhenAnArmFails) {
  MadeUpBackend backend;
  backend.broken_policy = "int8";
  const Result<DemoResults> results = made_up_run(backend);
  ASSERT_TRUE(results);
  const LinkResult& link = results->scenes[0].links[0];
  EXPECT_EQ(link.cell(Scheme::kInt8)->error, "peer_lost");
  EXPECT_TRUE(link.cell(Scheme::kSluice)->measured());
}

TEST(Runner, CountsEqualTokensAndLogitsAgainstNoHandOff) {
  MadeUpBackend backend;
  const Result<DemoResults> results = made_up_run(backend);
  ASSERT_TRUE(results);
  const LinkResult& link = results->scenes[1].links[0];
  EXPECT_EQ(link.cell(Scheme::kRaw)->equal_tokens, 4U);
  EXPECT_TRUE(link.cell(Scheme::kRaw)->equal_logits);
  EXPECT_EQ(link.cell(Scheme::kCacheGen)->equal_tokens, 3U);
  EXPECT_FALSE(link.cell(Scheme::kCacheGen)->equal_logits);
}

TEST(Cell, MedianIsTheMiddleOfItsRuns) {
  Cell cell;
  EXPECT_EQ(cell.ttft(), Duration(0));
  cell.ttfts = {Duration(30), Duration(10), Duration(20)};
  EXPECT_EQ(cell.ttft(), Duration(20));
  cell.ttfts.pop_back();
  EXPECT_EQ(cell.ttft(), Duration(10));
}

}  // namespace
}  // namespace sluice::integration::demo
