// The laws of data fabrics over shared memory, and what only this one has: who may share, and the way back to tcp.
#include <filesystem>
#include <iterator>

#include "tests/unit/transport/data_session.h"
#include "transport/shm/shm_fabric.h"

namespace sluice::transport::test {
namespace {

constexpr RequestId kRequest{7};

std::unique_ptr<DataFabric> must_open(asio::io_context& loop, const shm::ShmOptions& options) {
  return std::move(shm::open_shm_fabric(loop, options)).value();
}

DataFabricCase shared(const std::string& name, Bytes ring, Duration spin) {
  return {name, [ring, spin](asio::io_context& loop) {
            shm::ShmOptions options;
            options.ring = ring;
            options.spin = spin;
            return must_open(loop, options);
          }};
}

INSTANTIATE_TEST_SUITE_P(Shm, DataSession,
                         testing::Values(shared("LargeRing", Bytes(4U << 20U), Duration(0)),
                                         shared("SmallestRing", shm::kLeastRing, Duration(0)),
                                         shared("Spinning", Bytes(1U << 20U), std::chrono::microseconds(50))),
                         [](const auto& mode) { return mode.param.name; });

std::ptrdiff_t open_handles() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), std::filesystem::directory_iterator());
}

/// A data fabric whose attaching fails on the chosen turn.
class HalfDeaf final : public DataFabric {
 public:
  HalfDeaf(std::unique_ptr<DataFabric> inner, AttachTurn deaf) : inner_(std::move(inner)), deaf_(deaf) {}
  std::string_view name() const override { return inner_->name(); }
  std::uint64_t capability() const override { return inner_->capability(); }
  std::span<const std::byte> local_address() const override { return inner_->local_address(); }
  Result<std::unique_ptr<Channel>> attach(const Peering& peering) override {
    auto channel = inner_->attach(peering);  // goes again at once where it is not wanted, as when it cannot be mapped
    if (peering.turn == deaf_) return Error{ErrorCode::kNoMemory, 0, "deaf today"};
    return channel;
  }
  void async_close(std::function<void()> done) override { inner_->async_close(std::move(done)); }

 private:
  std::unique_ptr<DataFabric> inner_;
  AttachTurn deaf_;
};

class ShmFallback : public testing::Test {
 protected:
  void join(std::unique_ptr<DataFabric> prefill, std::unique_ptr<DataFabric> decode) {
    prefill_data_ = std::move(prefill);
    decode_data_ = std::move(decode);
    RigOptions options;
    options.prefill_data = prefill_data_.get();
    options.decode_data = decode_data_.get();
    rig_ = std::make_unique<Rig>(loop_, options);
    ASSERT_TRUE(rig_->join());
  }
  void expect_tcp_carries() {
    rig_->serve(20, 70'000);
    rig_->fetch(20);
    ASSERT_TRUE(rig_->decode_session->open(Rig::request(7)));
    ASSERT_TRUE(rig_->run_until([&] { return !rig_->prefill.handler.ended_sends.empty(); }));
    EXPECT_EQ(rig_->received[kRequest].size(), 20U);
    EXPECT_EQ(rig_->decode_session->path().data, "tcp");
    EXPECT_EQ(rig_->prefill.handler.last->path().data, "tcp");
  }
  void TearDown() override {
    rig_->shut();
    int closed = 0;
    int expected = 0;
    for (const auto* data : {&prefill_data_, &decode_data_}) {
      if (*data == nullptr) continue;
      ++expected;
      (*data)->async_close([&] { ++closed; });
    }
    EXPECT_TRUE(rig_->run_until([&] { return closed == expected; }));
  }
  std::unique_ptr<DataFabric> shm(const shm::ShmOptions& options = {}) { return must_open(loop_, options); }

  asio::io_context loop_{1};
  std::unique_ptr<DataFabric> prefill_data_;
  std::unique_ptr<DataFabric> decode_data_;
  std::unique_ptr<Rig> rig_;
};

TEST_F(ShmFallback, PeerWithoutItGetsTcp) {
  join(shm(), nullptr);
  expect_tcp_carries();
  EXPECT_EQ(rig_->decode_session->path().reason, "no data fabric here");
}

TEST_F(ShmFallback, ListenerThatCannotInviteSaysSoInItsAnswer) {
  join(std::make_unique<HalfDeaf>(shm(), AttachTurn::kFirst), shm());
  expect_tcp_carries();
  EXPECT_EQ(rig_->prefill.handler.last->path().reason, "deaf today");
}

TEST_F(ShmFallback, ListenerTakesTcpWhenItsInvitationIsNotTakenUp) {
  join(shm(), std::make_unique<HalfDeaf>(shm(), AttachTurn::kSecond));
  EXPECT_EQ(rig_->decode_session->path().reason, "deaf today");
  ASSERT_TRUE(rig_->run_until([&] { return rig_->prefill.handler.last->path().data == "tcp"; }));
  expect_tcp_carries();
}

TEST_F(ShmFallback, SessionsLeaveNoHandles) {
  join(shm(), shm());
  EXPECT_EQ(rig_->decode_session->path().data, "shm");
  const std::ptrdiff_t before = open_handles();
  for (int round = 0; round < 20; ++round) {
    rig_->decode_session->close(Error{ErrorCode::kIo, 0, "test"});
    const std::size_t downs = static_cast<std::size_t>(round) + 1;
    ASSERT_TRUE(rig_->run_until(
        [&] { return rig_->decode.handler.downs.size() == downs && rig_->prefill.handler.downs.size() == downs; }));
    rig_->decode_session = nullptr;
    ASSERT_TRUE(rig_->join());
    ASSERT_TRUE(rig_->run_until([&] { return rig_->prefill.handler.up.size() == downs + 1; }));
  }
  EXPECT_EQ(open_handles(), before);
}

}  // namespace
}  // namespace sluice::transport::test
