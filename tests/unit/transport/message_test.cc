#include "transport/message.h"

#include <gtest/gtest.h>

#include <functional>
#include <vector>

namespace sluice::transport {
namespace {

constexpr UnitKey kUnit{RequestId(3), ChunkIndex(1), LayerGroupIndex(2)};

Hello hello() {
  Hello message;
  message.version_max = 3;
  message.identity =
      NodeIdentity{"prefill-7", Epoch(9), ContentHash(1), ContentHash(2), ContentHash(3), ContentHash(4)};
  message.capabilities = kCapabilityUcx;
  message.max_frame = Bytes(1U << 20U);
  message.ring = Bytes(1U << 24U);
  message.heartbeat = std::chrono::milliseconds(100);
  message.data_key = 77;
  message.data_address = std::vector<std::byte>(200, std::byte{5});
  return message;
}

OpenAck open_ack() {
  OpenAck message;
  message.layout = KvLayout{Layers(30), Heads(3), HeadDim(64), 1, 1, 64, 100000.0};
  message.tokens = Tokens(600);
  message.chunk_tokens = Tokens(256);
  message.group_layers = Layers(8);
  message.units = units_of(message);
  return message;
}

OpenRequest open_request() {
  OpenRequest message;
  message.request = RequestId(3);
  message.prefix = {1, 2};
  message.mode = OpenMode::kReuse;
  message.remaining = std::chrono::seconds(2);
  for (int token = 0; token < 300; ++token) message.tokens.emplace_back(token - 5);
  return message;
}

struct Case {
  const char* name;
  std::vector<std::byte> bytes;
  std::function<Result<bool>(std::span<const std::byte>)> decode;  // true = equal to the original
};

template <typename T>
Result<bool> equals(const Result<T>& decoded, const T& original) {
  if (!decoded) return decoded.error();
  return *decoded == original;
}

std::vector<Case> cases() {
  Announce announce;
  announce.request = RequestId(3);
  announce.prefix = {7, 8};
  announce.tokens = {TokenId(-1), TokenId(5)};
  const Offer offer{kUnit, {{Part::kBase, Bytes(10)}, {Part::kInt8, Bytes(20)}}};
  const HelloRefused refused{ErrorCode::kIncompatibleModel, "model"};
  const Reject reject{ErrorCode::kQueueFull, std::chrono::milliseconds(7)};
  const Grant grant{Bytes(4096), std::chrono::seconds(1)};
  const Ping ping{3, Duration(44), Bytes(5)};
  using Bytes_ = std::span<const std::byte>;
  return {
      {"hello", encode(hello()), [](Bytes_ in) { return equals(decode_hello(in), hello()); }},
      {"refused", encode(refused), [=](Bytes_ in) { return equals(decode_hello_refused(in), refused); }},
      {"announce", encode(announce), [=](Bytes_ in) { return equals(decode_announce(RequestId(3), in), announce); }},
      {"open", encode(open_request()), [](Bytes_ in) { return equals(decode_open(RequestId(3), in), open_request()); }},
      {"open_ack", encode(open_ack()), [](Bytes_ in) { return equals(decode_open_ack(in), open_ack()); }},
      {"reject", encode(reject), [=](Bytes_ in) { return equals(decode_reject(in), reject); }},
      {"offer", encode(offer), [=](Bytes_ in) { return equals(decode_offer(kUnit, in), offer); }},
      {"grant", encode(grant), [=](Bytes_ in) { return equals(decode_grant(in), grant); }},
      {"seal", encode(Seal{Units(5)}), [](Bytes_ in) { return equals(decode_seal(in), Seal{Units(5)}); }},
      {"reason", encode(Reason{ErrorCode::kAborted}),
       [](Bytes_ in) { return equals(decode_reason(in), Reason{ErrorCode::kAborted}); }},
      {"ping", encode(ping), [=](Bytes_ in) { return equals(decode_ping(in), ping); }},
  };
}

TEST(Message, RoundTrips) {
  for (const Case& message : cases()) {
    const Result<bool> same = message.decode(message.bytes);
    ASSERT_TRUE(same) << message.name;
    EXPECT_TRUE(*same) << message.name;
  }
}

TEST(Message, EveryTruncationAndEveryExtensionIsATypedError) {
  for (Case& message : cases()) {
    for (std::size_t size = 0; size < message.bytes.size(); ++size) {
      EXPECT_FALSE(message.decode(std::span(message.bytes).first(size))) << message.name << " " << size;
    }
    message.bytes.push_back(std::byte{0});
    EXPECT_EQ(message.decode(message.bytes).error().code, ErrorCode::kTrailingBytes) << message.name;
  }
}

TEST(Message, NoFlippedBitDoesHarm) {
  for (const Case& message : cases()) {
    for (std::size_t bit = 0; bit < 8 * message.bytes.size(); ++bit) {
      std::vector<std::byte> bad = message.bytes;
      bad[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
      const Result<bool> same = message.decode(bad);
      if (same) {
        EXPECT_FALSE(*same) << message.name << " " << bit;
      } else {
        EXPECT_LT(static_cast<int>(same.error().code), 300) << message.name << " " << bit;
      }
    }
  }
}

TEST(Message, TooManyTokensAreRefusedBeforeMemoryIsTaken) {
  std::vector<std::byte> bytes = encode(open_request());
  const std::size_t count_at = 16 + 1 + 8;
  for (std::size_t byte = 0; byte < 4; ++byte) bytes[count_at + byte] = std::byte{0xFF};
  EXPECT_EQ(decode_open(RequestId(1), bytes).error().code, ErrorCode::kBadLength);
}

TEST(Message, RawSizesOfAllUnitsMakeTheWholeCache) {
  const OpenAck shape = open_ack();
  Bytes sum;
  for (std::uint32_t chunk = 0; chunk < 3; ++chunk) {
    for (std::uint32_t group = 0; group < 4; ++group) {
      sum += raw_size(shape, UnitKey{RequestId(1), ChunkIndex(chunk), LayerGroupIndex(group)});
    }
  }
  EXPECT_EQ(sum, Bytes(23040U * 600U));
  EXPECT_EQ(shape.units, Units(12));
  EXPECT_TRUE(raw_size(shape, UnitKey{RequestId(1), ChunkIndex(3), LayerGroupIndex(0)}).is_zero());
  EXPECT_TRUE(raw_size(shape, UnitKey{RequestId(1), ChunkIndex(0), LayerGroupIndex(4)}).is_zero());
}

}  // namespace
}  // namespace sluice::transport
