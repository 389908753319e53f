#include "integration/calibration_dump.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "integration/safetensors.h"

namespace sluice::integration {
namespace {

using codec::calibration::Dump;
using Extents = std::vector<std::uint64_t>;

/// A file of zeros, tensor by tensor.
class Content {
 public:
  Content() {
    add("k", {2, 5, 2, 4});
    add("v", {2, 5, 2, 4});
  }
  Content& add(const char* name, Extents extents) {
    std::size_t size = 2;
    for (const std::uint64_t extent : extents) size *= extent;
    view_.tensors.push_back({name, kernels::DType::kF16, std::move(extents), std::span(zeros_).first(size)});
    return *this;
  }
  Content& tell(const char* key, const char* value) {
    view_.metadata[key] = value;
    return *this;
  }
  /// The dump's fault; kOk without one.
  Error fault() const {
    const std::vector<std::byte> file = write_safetensors(view_);
    const Result<Dump> dump = read_calibration_dump("file", file);
    return dump ? Error{} : dump.error();
  }
  std::vector<std::byte> file() const { return write_safetensors(view_); }

 private:
  std::vector<std::byte> zeros_ = std::vector<std::byte>(4096);
  SafetensorsView view_;
};

TEST(CalibrationDump, KnowsEveryTensorOfTheInterface) {
  Content content;
  content.add("gk", {3, 2, 4, 2, 4}).add("gv", {3, 2, 4, 2, 4}).add("q", {2, 5, 6, 4}).add("wo", {2, 7, 24});
  content.add("attn", {2, 5}).tell("gradients.following", "160");
  const std::vector<std::byte> file = content.file();
  const Result<Dump> dump = read_calibration_dump("file", file);
  ASSERT_TRUE(dump) << dump.error().where;
  EXPECT_TRUE(dump->has_gradients());
  EXPECT_EQ(dump->gradient_rows, 3U);
  EXPECT_EQ(dump->gradient_tokens, Tokens(4));
  EXPECT_EQ(dump->gradient_targets, 160U);
  EXPECT_EQ(dump->query_heads, 6U);
  EXPECT_EQ(dump->model_dim, 7U);
  EXPECT_TRUE(dump->attention.is_there());
  EXPECT_EQ(dump->name, "file");
}

TEST(CalibrationDump, ValuesAloneAreEnough) {
  const std::vector<std::byte> file = Content().file();
  const Result<Dump> dump = read_calibration_dump("file", file);
  ASSERT_TRUE(dump);
  EXPECT_FALSE(dump->has_gradients() || dump->q.is_there() || dump->wo.is_there() || dump->attention.is_there());
}

TEST(CalibrationDump, TensorsThatDoNotFitAreNamed) {
  const auto expect_fault = [](const Content& content, const char* where) {
    const Error fault = content.fault();
    EXPECT_EQ(fault.code, ErrorCode::kIncompatibleLayout) << where;
    EXPECT_STREQ(fault.where, where);
  };
  expect_fault(Content().add("gk", {3, 2, 4, 2, 4}), "gk without gv");
  expect_fault(Content().add("gv", {3, 2, 4, 2, 4}), "gv without gk");
  expect_fault(Content().add("gk", {2, 4, 2, 4}).add("gv", {2, 4, 2, 4}), "extents of gk");
  expect_fault(Content().add("gk", {3, 2, 4, 2, 4}).add("gv", {2, 2, 4, 2, 4}), "gv unlike gk");
  expect_fault(Content().add("gk", {3, 2, 6, 2, 4}).add("gv", {3, 2, 6, 2, 4}), "gk unlike k");
  expect_fault(Content().add("gk", {3, 1, 4, 2, 4}).add("gv", {3, 1, 4, 2, 4}), "gk unlike k");
  expect_fault(Content().add("q", {2, 5, 3, 4}).add("wo", {2, 7, 12}), "q unlike k");
  expect_fault(Content().add("q", {2, 5, 6, 4}).add("wo", {2, 7, 12}), "wo unlike q");
  expect_fault(Content().add("q", {2, 5, 6, 4}).add("wo", {2, 7}), "extents of wo");
  expect_fault(Content().add("attn", {2, 4}), "attn unlike k");
}

TEST(CalibrationDump, FollowingTokensMustBeANumber) {
  Content content;
  content.add("gk", {1, 2, 5, 2, 4}).add("gv", {1, 2, 5, 2, 4}).tell("gradients.following", "many");
  EXPECT_EQ(content.fault().code, ErrorCode::kBadField);
}

std::span<const std::byte> bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

TEST(KlCurve, PointsOfOneTierRise) {
  const std::string text =
      R"({"curve":[{"tier":2,"step":0.002,"kl_mean":0.01,"kl_p99":0.1},{"tier":3,"step":1,"kl_mean":1},)"
      R"({"step":0.001,"kl_mean":0.003}]})";
  const auto points = read_kl_curve(bytes_of(text), codec::Tier::kLayer);
  ASSERT_TRUE(points);
  ASSERT_EQ(points->size(), 2U);
  EXPECT_EQ((*points)[0].step, 0.001);
  EXPECT_EQ((*points)[1].kl_p99, 0.1);
}

TEST(KlCurve, PointsThatDoNotRiseAreLeftOut) {
  const std::string text = R"({"curve":[{"step":1,"kl_mean":1},{"step":2,"kl_mean":1},{"step":3,"kl_mean":4}]})";
  const auto points = read_kl_curve(bytes_of(text), codec::Tier::kLayer);
  ASSERT_TRUE(points);
  ASSERT_EQ(points->size(), 2U);
  EXPECT_EQ((*points)[1].step, 3);
}

TEST(KlCurve, NestedPointsAreACurveOfTheirOwn) {
  const std::string text =
      R"({"curve":[{"step":2,"kl_mean":3,"stages":3},{"step":2,"kl_mean":1},{"step":3,"kl_mean":2},)"
      R"({"step":1,"kl_mean":2,"stages":3}]})";
  const auto points = read_kl_curve(bytes_of(text), codec::Tier::kLayer);
  ASSERT_TRUE(points);
  ASSERT_EQ(points->size(), 4U);
  for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ((*points)[i].is_nested, i >= 2);
  EXPECT_EQ((*points)[2].kl_mean, 2);
  EXPECT_EQ((*points)[3].kl_mean, 3);
}

TEST(KlCurve, AnythingElseIsRefused) {
  for (const char* text :
       {"", "[]", "{}", R"({"curve":1})", R"({"curve":[1]})", R"({"curve":[{"step":1}]})",
        R"({"curve":[{"step":"1","kl_mean":1}]})", R"({"curve":[{"step":0,"kl_mean":1}]})",
        R"({"curve":[{"step":1,"kl_mean":-1}]})", R"({"curve":[{"step":1,"kl_mean":1,"kl_p99":-1}]})",
        R"({"curve":[{"step":1,"kl_mean":1},{"step":1,"kl_mean":2}]})",
        R"({"curve":[{"step":1,"kl_mean":2},{"step":2,"kl_mean":1}]})"}) {
    EXPECT_FALSE(read_kl_curve(bytes_of(text), codec::Tier::kLayer)) << text;
  }
}

}  // namespace
}  // namespace sluice::integration
