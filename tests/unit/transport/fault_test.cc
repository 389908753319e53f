// Faults between two endpoints: bytes flipped in flight, a peer that says nothing, a peer that talks nonsense.
#include <gtest/gtest.h>

#include "tests/unit/transport/rig.h"
#include "tests/unit/transport/tapped_fabric.h"

namespace sluice::transport::test {
namespace {

constexpr RequestId kRequest{7};

// Passes frames on; before a DATA frame is shown to the session, flips one of its bytes while `flips` lasts.
class FlippingSink final : public FrameSink {
 public:
  FlippingSink(FrameSink& sink, int& flips) : sink_(sink), flips_(flips) {}
  Result<std::span<std::byte>> place(const FrameHeader& header) override {
    Result<std::span<std::byte>> place = sink_.place(header);
    if (place) place_ = *place;
    return place;
  }
  void on_frame(const FrameHeader& header, std::span<const std::byte> payload) override {
    if (header.type == MessageType::kData && flips_ > 0) {
      --flips_;
      place_[payload.size() / 2] ^= std::byte{1};
    }
    sink_.on_frame(header, payload);
  }
  void on_dropped(const FrameHeader& header) override { sink_.on_dropped(header); }
  void on_progress(Bytes size) override { sink_.on_progress(size); }
  void on_closed(Error error) override { sink_.on_closed(error); }

 private:
  FrameSink& sink_;
  int& flips_;
  std::span<std::byte> place_;
};

RigOptions flipping(int& flips) {
  RigOptions options;
  options.wrap_decode_stream = [&flips](std::unique_ptr<StreamFabric> fabric) {
    const Tap tap = [&flips](FrameSink& session) -> std::unique_ptr<FrameSink> {
      return std::make_unique<FlippingSink>(session, flips);
    };
    return std::unique_ptr<StreamFabric>(std::make_unique<TappedFabric>(std::move(fabric), tap));
  };
  return options;
}

TEST(Fault, AFlippedByteIsRefusedAndThePartComesAgain) {
  int flips = 2;
  Rig rig(flipping(flips));
  ASSERT_TRUE(rig.join());
  rig.serve(10, 20'000);
  rig.fetch(10);
  ASSERT_TRUE(rig.decode_session->open(Rig::request(7)));
  ASSERT_TRUE(rig.run_until([&] { return !rig.prefill.handler.ended_sends.empty(); }));
  EXPECT_EQ(rig.decode.events.count<UnitRefused>(), 2U);
  EXPECT_EQ(rig.received[kRequest].size(), 10U);
  EXPECT_EQ(rig.prefill.handler.grants.size(), 12U);
}

TEST(Fault, APartThatNeverComesWholeFailsTheRequestAndNothingElse) {
  int flips = 1000;
  Rig rig(flipping(flips));
  ASSERT_TRUE(rig.join());
  rig.serve(1, 20'000);
  rig.fetch(1);
  ASSERT_TRUE(rig.decode_session->open(Rig::request(7)));
  ASSERT_TRUE(rig.run_until([&] { return !rig.prefill.handler.ended_sends.empty(); }));
  ASSERT_EQ(rig.decode.handler.failures[kRequest].size(), 1U);
  EXPECT_EQ(rig.decode.handler.failures[kRequest][0].code, ErrorCode::kDigestMismatch);
  EXPECT_EQ(rig.decode.handler.parts, 0U);
  EXPECT_TRUE(rig.decode.endpoint->ring_used().is_zero());
  EXPECT_TRUE(rig.decode.handler.downs.empty());
}

// A raw socket to prefill, which the test speaks through.
class Stranger {
 public:
  explicit Stranger(Rig& rig) : rig_(rig), socket_(rig.loop) {
    const std::string& address = rig.prefill.endpoint->listen_address();
    const auto port = static_cast<std::uint16_t>(std::stoul(address.substr(address.rfind(':') + 1)));
    socket_.connect({asio::ip::make_address("127.0.0.1"), port});
  }
  void say(std::span<const std::byte> bytes) { asio::write(socket_, asio::buffer(bytes.data(), bytes.size())); }
  void greet() {
    Hello hello;
    hello.identity = node_identity("stranger", 33);
    hello.max_frame = Bytes(1U << 20U);
    hello.heartbeat = std::chrono::milliseconds(20);
    say_frame(MessageType::kHello, encode(hello));
  }
  void say_frame(MessageType type, const std::vector<std::byte>& payload) {
    FrameHeader header;
    header.type = type;
    header.epoch = Epoch(33);
    header.length = Bytes(payload.size());
    header.digest = payload_digest(header, payload);
    say(encode(header));
    say(payload);
  }
  // Reads and drops until the other side closes.
  bool is_thrown_out() {
    bool closed = false;
    read(closed);
    return rig_.run_until([&] { return closed; });
  }

 private:
  void read(bool& closed) {
    socket_.async_read_some(asio::buffer(buffer_),
                            [this, &closed](const boost::system::error_code& error, std::size_t) {
                              closed = static_cast<bool>(error);
                              if (!error) read(closed);
                            });
  }

  Rig& rig_;
  asio::ip::tcp::socket socket_;
  std::array<std::byte, 4096> buffer_{};
};

RigOptions quick() {
  RigOptions options;
  options.endpoint.heartbeat = std::chrono::milliseconds(20);
  options.endpoint.handshake_timeout = std::chrono::milliseconds(100);
  return options;
}

TEST(Fault, AGreetedPeerThatFallsSilentIsDead) {
  Rig rig(quick());
  Stranger stranger(rig);
  stranger.greet();
  ASSERT_TRUE(rig.run_until([&] { return !rig.prefill.handler.downs.empty(); }));
  EXPECT_EQ(rig.prefill.handler.downs[0].code, ErrorCode::kPeerSilent);
}

TEST(Fault, APeerThatNeverGreetsIsThrownOut) {
  Rig rig(quick());
  Stranger stranger(rig);
  EXPECT_TRUE(stranger.is_thrown_out());
  EXPECT_TRUE(rig.prefill.handler.up.empty());
}

TEST(Fault, NonsenseBeforeTheGreetingIsThrownOut) {
  Rig rig(quick());
  Stranger noise(rig);
  noise.say(std::vector<std::byte>(64, std::byte{0x55}));
  EXPECT_TRUE(noise.is_thrown_out());
  Stranger eager(rig);
  eager.say_frame(MessageType::kOpen, encode(Rig::request(1)));
  EXPECT_TRUE(eager.is_thrown_out());
  Stranger greedy(rig);
  greedy.say_frame(MessageType::kHello, std::vector<std::byte>(4096));
  EXPECT_TRUE(greedy.is_thrown_out());
  EXPECT_TRUE(rig.prefill.handler.up.empty());
}

TEST(Fault, ABrokenFrameAfterTheGreetingClosesWithItsError) {
  Rig rig(quick());
  Stranger stranger(rig);
  stranger.greet();
  ASSERT_TRUE(rig.run_until([&] { return !rig.prefill.handler.up.empty(); }));
  FrameBytes broken = encode(FrameHeader{});
  broken[20] ^= std::byte{4};
  stranger.say(broken);
  ASSERT_TRUE(rig.run_until([&] { return !rig.prefill.handler.downs.empty(); }));
  EXPECT_EQ(rig.prefill.handler.downs[0].code, ErrorCode::kDigestMismatch);
}

TEST(Fault, ATypeOfANewerPeerIsSkipped) {
  Rig rig(quick());
  Stranger stranger(rig);
  stranger.greet();
  ASSERT_TRUE(rig.run_until([&] { return !rig.prefill.handler.up.empty(); }));
  stranger.say_frame(static_cast<MessageType>(200), std::vector<std::byte>(1000));
  stranger.say_frame(MessageType::kGoaway, encode(Reason{ErrorCode::kDraining}));
  EXPECT_TRUE(rig.run_until([&] { return rig.prefill.handler.goaways == 1; }));
}

TEST(Fault, DataWithoutALeaseIsDroppedAndTheSessionLives) {
  Rig rig(quick());
  Stranger stranger(rig);
  stranger.greet();
  ASSERT_TRUE(rig.run_until([&] { return !rig.prefill.handler.up.empty(); }));
  stranger.say_frame(MessageType::kData, std::vector<std::byte>(200'000));
  stranger.say_frame(MessageType::kGoaway, encode(Reason{ErrorCode::kDraining}));
  EXPECT_TRUE(rig.run_until([&] { return rig.prefill.handler.goaways == 1; }));
  EXPECT_EQ(rig.prefill.events.count<UnitRefused>(), 1U);
  EXPECT_TRUE(rig.prefill.endpoint->ring_used().is_zero());
}

}  // namespace
}  // namespace sluice::transport::test
