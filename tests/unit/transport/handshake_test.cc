#include "transport/handshake.h"

#include <gtest/gtest.h>

#include "transport/heartbeat.h"
#include "transport/link_meter.h"

namespace sluice::transport {
namespace {

using std::chrono::milliseconds;

Hello sound() {
  Hello hello;
  hello.identity.model = ContentHash(1);
  hello.identity.layout = ContentHash(2);
  hello.identity.engine = ContentHash(3);
  hello.identity.rope = ContentHash(4);
  hello.identity.profile = ContentHash(5);
  hello.max_frame = Bytes(1);
  hello.heartbeat = milliseconds(100);
  return hello;
}

void expect_refusal(const Hello& other, ErrorCode code, std::string_view field) {
  for (const auto& [local, remote] : {std::pair(sound(), other), std::pair(other, sound())}) {
    const auto refusal = refuse(local, remote);
    ASSERT_TRUE(refusal) << field;
    EXPECT_EQ(refusal->error.code, code) << field;
    EXPECT_EQ(refusal->field, field);
  }
}

TEST(Handshake, LikeNodesTalk) {
  EXPECT_FALSE(refuse(sound(), sound()));
  Hello newer = sound();
  newer.version_max = 5;
  EXPECT_FALSE(refuse(sound(), newer));
  EXPECT_EQ(agreed_version(sound(), newer), 1);
}

TEST(Handshake, AStoreThatStatesNoModelTalksToAnyNode) {
  Hello store = sound();
  store.identity = {};
  EXPECT_FALSE(refuse(store, sound()));
  EXPECT_FALSE(refuse(sound(), store));
  EXPECT_FALSE(refuse(store, store));
}

TEST(Handshake, EachFieldIsRefusedByNameOnBothSides) {
  Hello other = sound();
  other.version_min = other.version_max = 2;
  expect_refusal(other, ErrorCode::kIncompatibleVersion, "version");
  other = sound();
  other.identity.model = ContentHash(9);
  expect_refusal(other, ErrorCode::kIncompatibleModel, "model");
  other = sound();
  other.identity.layout = ContentHash(9);
  expect_refusal(other, ErrorCode::kIncompatibleLayout, "layout");
  other = sound();
  other.identity.rope = ContentHash(9);
  expect_refusal(other, ErrorCode::kIncompatibleLayout, "rope");
  other = sound();
  other.identity.engine = ContentHash(9);
  expect_refusal(other, ErrorCode::kIncompatibleEngine, "engine");
  other = sound();
  other.identity.profile = ContentHash(9);
  expect_refusal(other, ErrorCode::kProfileMismatch, "profile");
  other = sound();
  other.heartbeat = Duration(0);
  expect_refusal(other, ErrorCode::kBadField, "heartbeat");
  other = sound();
  other.max_frame = Bytes(0);
  expect_refusal(other, ErrorCode::kBadField, "max_frame");
}

TEST(Handshake, AnUnstatedEngineOrRopeMatchesAny) {
  Hello other = sound();
  other.identity.engine = ContentHash();
  other.identity.rope = ContentHash();
  EXPECT_FALSE(refuse(sound(), other));
}

TEST(Handshake, TheFirstDifferenceIsTheOneNamed) {
  Hello other = sound();
  other.identity.model = ContentHash(9);
  other.identity.layout = ContentHash(9);
  expect_refusal(other, ErrorCode::kIncompatibleModel, "model");
}

TEST(Heartbeat, SilenceIsJudgedAfterTheMissesAndNotForOurOwnSleep) {
  Heartbeat heartbeat(milliseconds(100), 5, Instant());
  EXPECT_TRUE(heartbeat.take_ping(Instant()));
  EXPECT_FALSE(heartbeat.take_ping(Instant(milliseconds(99))));
  EXPECT_TRUE(heartbeat.take_ping(Instant(milliseconds(100))));
  EXPECT_FALSE(heartbeat.is_silent(Instant(milliseconds(499))));
  EXPECT_TRUE(heartbeat.is_silent(Instant(milliseconds(500))));
  heartbeat.excuse(milliseconds(300), Instant(milliseconds(500)));
  EXPECT_FALSE(heartbeat.is_silent(Instant(milliseconds(799))));
  EXPECT_TRUE(heartbeat.is_silent(Instant(milliseconds(800))));
  heartbeat.heard(Instant(milliseconds(900)));
  EXPECT_FALSE(heartbeat.is_silent(Instant(milliseconds(1000))));
}

TEST(Heartbeat, OurOwnSleepDoesNotExcuseThePeerThatWasHeardSince) {
  Heartbeat heartbeat(milliseconds(100), 5, Instant());
  heartbeat.heard(Instant(milliseconds(900)));
  heartbeat.excuse(milliseconds(800), Instant(milliseconds(900)));
  EXPECT_FALSE(heartbeat.is_silent(Instant(milliseconds(1399))));
  EXPECT_TRUE(heartbeat.is_silent(Instant(milliseconds(1400))));
}

TEST(LinkMeter, BackToBackFramesGiveTheLinksRate) {
  LinkMeter meter;
  Instant now;
  std::optional<LinkSample> sample;
  for (int frame = 0; frame < 10 && !sample; ++frame) {
    meter.frame_began(now, frame > 0);
    now = now + milliseconds(5);
    sample = meter.frame_ended(Bytes(62'500), now);  // 100 Mbit/s
  }
  ASSERT_TRUE(sample);
  EXPECT_EQ(sample->rate, BitsPerSecond(100'000'000));
}

TEST(LinkMeter, TimeInWhichTheSenderHadNothingDoesNotCount) {
  LinkMeter meter;
  Instant now;
  std::optional<LinkSample> sample;
  for (int frame = 0; frame < 10 && !sample; ++frame) {
    now = now + milliseconds(500);
    meter.frame_began(now, false);
    now = now + milliseconds(5);
    sample = meter.frame_ended(Bytes(62'500), now);
  }
  ASSERT_TRUE(sample);
  EXPECT_EQ(sample->rate, BitsPerSecond(100'000'000));
}

}  // namespace
}  // namespace sluice::transport
