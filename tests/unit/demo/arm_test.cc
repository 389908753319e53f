#include "integration/demo/arm.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace sluice::integration::demo {
namespace {

TEST(Request, SaysWhatTheApiAsksFor) {
  const nlohmann::json body = nlohmann::json::parse(request_body({.text = "a \"b\" \n",
                                                                  .mode = "reuse",
                                                                  .policy = "sluice",
                                                                  .deadline = std::chrono::milliseconds(1500),
                                                                  .hard_deadline = true,
                                                                  .generate = 40,
                                                                  .score_against = "reuse"}));
  EXPECT_EQ(body["text"], "a \"b\" \n");
  EXPECT_EQ(body["deadline_ms"], 1500);
  EXPECT_EQ(body["deadline_kind"], "hard");
  EXPECT_EQ(body["generate"], 40);
  EXPECT_EQ(body["score_against"], "reuse");
  EXPECT_FALSE(body.contains("keep_reference"));
}

TEST(Answer, IsReadWithEveryField) {
  const Result<ArmResult> answer =
      parse_answer(R"({"request":7,"outcome":"delivered","reason":"base_first","ttft_ms":12.5,
    "split_ms":{"wire":3.25,"first_token":1},"wire_bytes":100,"raw_bytes":1000,"bits_per_value":1.6,"parts":{"base":3},
    "quality_ppm":900000,"tokens":[5,6],"logits_hash":"ab","kl":{"mean":0.5,"p99":1,"max":2,"top1":0.75}})");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->request, 7U);
  EXPECT_EQ(answer->ttft, std::chrono::microseconds(12'500));
  EXPECT_EQ(answer->split.wire, std::chrono::microseconds(3'250));
  EXPECT_EQ(answer->wire, Bytes(100));
  EXPECT_EQ(answer->parts.at("base"), 3U);
  ASSERT_TRUE(answer->divergence);
  EXPECT_EQ(answer->divergence->top1, 0.75);
  EXPECT_LT(answer->peer.prefill_end.count(), 0);
}

TEST(Answer, OfAnotherShapeIsAnErrorAndNeverACrash) {
  for (const char* body :
       {"", "[]", "1", "{\"tokens\":\"x\"}", "{\"ttft_ms\":\"x\"}", "{\"parts\":{\"base\":\"x\"}}", "{"}) {
    const Result<ArmResult> answer = parse_answer(body);
    ASSERT_FALSE(answer) << body;
    EXPECT_EQ(answer.error().code, ErrorCode::kBadField);
  }
  EXPECT_TRUE(parse_answer(R"({"kl":null,"ttft_ms":1e300})"));
}

TEST(Sender, AddsItsTimesAndLeavesTheRest) {
  ArmResult result;
  add_sender(R"({"sender":{"prefill_end_ms":40,"first_part_sent_ms":10,"encode_ms":2}})", result);
  EXPECT_EQ(result.peer.prefill_end, std::chrono::milliseconds(40));
  EXPECT_EQ(result.peer.first_part_sent, std::chrono::milliseconds(10));
  EXPECT_EQ(result.split.encode, std::chrono::milliseconds(2));
  ArmResult untouched;
  for (const char* body : {"", "null", "{\"sender\":{\"encode_ms\":\"x\"}}"}) add_sender(body, untouched);
  EXPECT_LT(untouched.peer.prefill_end.count(), 0);
}

}  // namespace
}  // namespace sluice::integration::demo
