// A peer that lies: what it may send instead of a memory, and what it may do to one that is shared. Every lie ends in a
// typed error of its own session, or in bytes that fail their digest; what was judged good never changes.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <cstdlib>
#include <cstring>
#include <optional>

#include "tests/unit/transport/rig.h"
#include "transport/shm/rendezvous.h"
#include "transport/shm/shared_memory.h"
#include "transport/shm/shared_ring.h"
#include "transport/shm/shm_fabric.h"

namespace sluice::transport::shm {
namespace {

constexpr Bytes kRing = kLeastRing;
constexpr int kSizeSeals = F_SEAL_SHRINK | F_SEAL_GROW;

UniqueFd memfd_of(Bytes size, int seals) {
  UniqueFd memfd(::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  EXPECT_EQ(::ftruncate(memfd.get(), static_cast<off_t>(size.count())), 0);
  EXPECT_EQ(::fcntl(memfd.get(), F_ADD_SEALS, seals), 0);
  return memfd;
}

ErrorCode adopt(const UniqueFd& memfd) {
  const auto memory = SharedMemory::adopt(memfd, memory_for(kRing));
  return memory ? ErrorCode::kOk : memory.error().code;
}

TEST(ShmMemory, OnlyASealedMemfdOfTheRightSizeIsMapped) {
  const Bytes size = memory_for(kRing);
  EXPECT_EQ(adopt(memfd_of(size, kSizeSeals)), ErrorCode::kOk);
  EXPECT_EQ(adopt(memfd_of(size, 0)), ErrorCode::kProtocolViolation);
  EXPECT_EQ(adopt(memfd_of(size, F_SEAL_GROW)), ErrorCode::kProtocolViolation);
  EXPECT_EQ(adopt(memfd_of(size, F_SEAL_SHRINK)), ErrorCode::kProtocolViolation);
  EXPECT_EQ(adopt(memfd_of(size - Bytes(1), kSizeSeals)), ErrorCode::kBadLength);
  EXPECT_EQ(adopt(memfd_of(size + Bytes(1), kSizeSeals)), ErrorCode::kBadLength);
  EXPECT_EQ(adopt(memfd_of(Bytes(0), kSizeSeals)), ErrorCode::kBadLength);
  EXPECT_EQ(adopt(memfd_of(size, kSizeSeals | F_SEAL_WRITE)), ErrorCode::kNoMemory);
}

TEST(ShmMemory, OtherKindsOfDescriptorsAreRefused) {
  std::array<int, 2> pair{};
  ASSERT_EQ(::pipe2(pair.data(), O_CLOEXEC), 0);
  const UniqueFd pipe_out(pair[0]);
  const UniqueFd pipe_in(pair[1]);
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()), 0);
  const UniqueFd socket(pair[0]);
  const UniqueFd other(pair[1]);
  const UniqueFd event(::eventfd(0, EFD_CLOEXEC));
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  const UniqueFd folder(::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const UniqueFd program(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  for (const UniqueFd* kind : {&pipe_out, &socket, &event, &null, &folder, &program}) {
    const ErrorCode code = adopt(*kind);
    EXPECT_TRUE(code == ErrorCode::kBadField || code == ErrorCode::kProtocolViolation) << kind->get();
  }
}

TEST(ShmMemory, AnAdoptedOneCannotChangeItsSize) {
  auto memory = SharedMemory::create(memory_for(kRing));
  ASSERT_TRUE(memory);
  const UniqueFd memfd = memory->take_memfd();
  EXPECT_NE(::ftruncate(memfd.get(), 0), 0);
  EXPECT_NE(::ftruncate(memfd.get(), 1 << 30), 0);
  EXPECT_NE(::fcntl(memfd.get(), F_ADD_SEALS, F_SEAL_WRITE), 0);
  const auto adopted = SharedMemory::adopt(memfd, memory_for(kRing));
  ASSERT_TRUE(adopted);
  // A hole is the one thing that its holder may still make: bytes vanish, access goes on.
  EXPECT_EQ(::fallocate(memfd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), 0);
  EXPECT_EQ(adopted->bytes()[0], std::byte{0});
}

struct SocketPair {
  SocketPair() {
    std::array<int, 2> pair{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair.data()), 0);
    near = UniqueFd(pair[0]);
    far = UniqueFd(pair[1]);
  }
  // A message with these bytes and descriptors.
  void tell(std::span<const std::byte> bytes, const std::vector<int>& descriptors) const {
    iovec text{const_cast<std::byte*>(bytes.data()), bytes.size()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(16 * sizeof(int))> room{};
    msghdr message{};
    message.msg_iov = &text;
    message.msg_iovlen = 1;
    if (!descriptors.empty()) {
      message.msg_control = room.data();
      message.msg_controllen = CMSG_SPACE(descriptors.size() * sizeof(int));
      cmsghdr* rights = CMSG_FIRSTHDR(&message);
      rights->cmsg_level = SOL_SOCKET;
      rights->cmsg_type = SCM_RIGHTS;
      rights->cmsg_len = CMSG_LEN(descriptors.size() * sizeof(int));
      std::memcpy(CMSG_DATA(rights), descriptors.data(), descriptors.size() * sizeof(int));
    }
    ASSERT_EQ(::sendmsg(far.get(), &message, MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
  }
  UniqueFd near;
  UniqueFd far;
};

// The bytes of an honest invitation, caught on their way.
std::vector<std::byte> invitation_bytes() {
  const SocketPair pair;
  const UniqueFd memfd = memfd_of(Bytes(1), 0);
  EXPECT_TRUE(send_invitation(pair.far, Invitation{0x0123456789ABCDEFU, kRing}, memfd));
  std::vector<std::byte> bytes(64);
  const ssize_t size = ::recv(pair.near.get(), bytes.data(), bytes.size(), 0);
  bytes.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
  return bytes;
}

ErrorCode outcome(const SocketPair& pair) {
  const auto invited = receive_invitation(pair.near);
  return invited ? ErrorCode::kOk : invited.error().code;
}

TEST(ShmInvitation, ComesWholeWithOneDescriptor) {
  const SocketPair pair;
  EXPECT_EQ(outcome(pair), ErrorCode::kNotFound) << "nothing yet";
  ASSERT_TRUE(send_invitation(pair.far, Invitation{7, kRing}, memfd_of(Bytes(1), 0)));
  const auto invited = receive_invitation(pair.near);
  ASSERT_TRUE(invited);
  EXPECT_EQ(invited->invitation.key, 7U);
  EXPECT_EQ(invited->invitation.ring, kRing);
  EXPECT_TRUE(invited->memfd.is_open());
}

TEST(ShmInvitation, OfAnyOtherFormIsRefusedAndLeaksNothing) {
  const std::vector<std::byte> good = invitation_bytes();
  ASSERT_EQ(good.size(), 24U);
  const UniqueFd memfd = memfd_of(Bytes(1), 0);
  const int next_free = ::dup(memfd.get());
  ::close(next_free);
  const auto sent = [&](std::span<const std::byte> bytes, const std::vector<int>& descriptors) {
    const SocketPair pair;
    pair.tell(bytes, descriptors);
    return outcome(pair);
  };
  EXPECT_EQ(sent(good, {memfd.get()}), ErrorCode::kOk);
  EXPECT_EQ(sent(good, {}), ErrorCode::kBadField);
  EXPECT_EQ(sent(good, {memfd.get(), memfd.get()}), ErrorCode::kBadField);
  EXPECT_EQ(sent(good, std::vector<int>(16, memfd.get())), ErrorCode::kBadField);
  for (std::size_t size = 1; size < good.size(); ++size) {
    EXPECT_EQ(sent(std::span(good).first(size), {memfd.get()}), ErrorCode::kBadLength) << size;
  }
  for (std::size_t at = 0; at < 8; ++at) {
    std::vector<std::byte> bad = good;
    bad[at] ^= std::byte{1};
    EXPECT_EQ(sent(bad, {memfd.get()}), at < 4 ? ErrorCode::kBadMagic : ErrorCode::kBadVersion) << at;
  }
  const SocketPair gone;
  ::shutdown(gone.far.get(), SHUT_RDWR);
  EXPECT_EQ(outcome(gone), ErrorCode::kPeerLost);
  const int still_free = ::dup(memfd.get());
  ::close(still_free);
  EXPECT_EQ(still_free, next_free + 2 * 1) << "descriptors of refused invitations are closed; only `gone` is open";
}

TEST(ShmInvitation, AnotherUserIsRefusedUnlessAllowed) {
  const SocketPair pair;
  const uid_t us = ::geteuid();
  EXPECT_TRUE(check_user(pair.near, us, PeerUsers::kSameUser));
  EXPECT_EQ(check_user(pair.near, us + 1, PeerUsers::kSameUser).error().code, ErrorCode::kUnsupported);
  EXPECT_TRUE(check_user(pair.near, us + 1, PeerUsers::kAnyUser));
}

TEST(ShmInvitation, KnocksNeverWait) {
  const SocketPair pair;
  for (int at = 0; at < 100'000; ++at) knock(pair.near);  // far more than a socket holds, and nobody reads
  EXPECT_TRUE(take_knocks(pair.far));
  ASSERT_EQ(::fcntl(pair.near.get(), F_SETFL, 0), 0);  // a peer cannot do so to our end, and it would not matter
  knock(pair.near);
}

// The session's other end, played by hand: it has the greeting's key and both rings.
class HostilePeer : public testing::Test {
 protected:
  struct Sink final : FrameSink {
    Result<std::span<std::byte>> place(const FrameHeader& header) override {
      if (header.type != MessageType::kData) return Error{ErrorCode::kProtocolViolation, 0, "test"};
      slot.assign(static_cast<std::size_t>(header.length.count()), std::byte{0});
      return std::span(slot);
    }
    void on_frame(const FrameHeader& header, std::span<const std::byte> payload) override {
      EXPECT_EQ(payload.data(), slot.data());
      good.push_back(payload_digest(header, payload) == header.digest);
    }
    void on_dropped(const FrameHeader&) override { ++dropped; }
    void on_progress(Bytes) override {}
    void on_closed(Error error) override { closed = error; }
    std::vector<std::byte> slot;
    std::vector<bool> good;
    int dropped = 0;
    std::optional<Error> closed;
  };

  void SetUp() override {
    ShmOptions options;
    options.ring = kRing;
    fabric_ = std::move(open_shm_fabric(loop_, options)).value();
    SocketName name{};
    std::copy(fabric_->local_address().begin(), fabric_->local_address().end(), name.begin());
    auto socket = connect_to(name);
    ASSERT_TRUE(socket);
    socket_ = std::move(*socket);
    auto memory = SharedMemory::create(memory_for(kRing));
    ASSERT_TRUE(memory);
    memory_.emplace(std::move(*memory));
    ASSERT_TRUE(send_invitation(socket_, Invitation{kKey, kRing}, memory_->take_memfd()));
    auto channel = fabric_->attach(DataFabric::Peering{{}, kKey, 0, AttachTurn::kSecond});
    ASSERT_TRUE(channel);
    channel_ = std::move(*channel);
    channel_->start(sink_);
    writer_.emplace(ring_of(memory_->bytes(), 0));
    turn();
  }
  void TearDown() override {
    channel_->close(Error{ErrorCode::kAborted, 0, "test"});
    turn();
    EXPECT_TRUE(sink_.closed.has_value());
    channel_.reset();
    bool done = false;
    fabric_->async_close([&] { done = true; });
    turn();
    EXPECT_TRUE(done);
  }
  /// All that can happen now happens.
  void turn() {
    loop_.restart();
    loop_.poll();
  }
  FrameHeader header_of(std::span<const std::byte> payload) {
    FrameHeader header;
    header.type = MessageType::kData;
    header.length = Bytes(payload.size());
    header.digest = payload_digest(header, payload);
    return header;
  }
  void put(std::span<const std::byte> bytes) {
    ASSERT_LE(bytes.size(), *writer_->room());
    writer_->put(bytes);
    (void)writer_->publish();
    knock(socket_);
    turn();
  }
  void put_header(const FrameHeader& header) { put(encode(header)); }
  void expect_closed(ErrorCode code) {
    turn();
    ASSERT_TRUE(sink_.closed.has_value());
    EXPECT_EQ(sink_.closed->code, code);
  }

  static constexpr std::uint64_t kKey = 99;
  asio::io_context loop_{1};
  std::unique_ptr<DataFabric> fabric_;
  UniqueFd socket_;
  std::optional<SharedMemory> memory_;
  std::optional<RingWriter> writer_;
  Sink sink_;
  std::unique_ptr<Channel> channel_;
  std::vector<std::byte> payload_ = std::vector<std::byte>(5000, std::byte{42});
};

TEST_F(HostilePeer, WritingAfterCommitChangesNothingThatWasJudged) {
  put_header(header_of(payload_));
  put(payload_);
  ASSERT_EQ(sink_.good, std::vector<bool>{true});
  std::fill(memory_->bytes().begin() + 4096, memory_->bytes().end(), std::byte{0xEE});
  EXPECT_EQ(sink_.slot, payload_);
  EXPECT_EQ(payload_digest(header_of(payload_), sink_.slot), header_of(payload_).digest);
}

TEST_F(HostilePeer, WritingBetweenHeaderAndTakingFailsTheDigest) {
  put_header(header_of(payload_));
  std::vector<std::byte> torn = payload_;
  torn[4999] ^= std::byte{1};
  put(torn);
  EXPECT_EQ(sink_.good, std::vector<bool>{false});
}

TEST_F(HostilePeer, ImpossibleWritePositionEndsTheLink) {
  ring_of(memory_->bytes(), 0).counters->written = kRing.count() + 1;
  knock(socket_);
  expect_closed(ErrorCode::kProtocolViolation);
}

TEST_F(HostilePeer, ImpossibleReadPositionEndsTheLink) {
  ring_of(memory_->bytes(), 1).counters->read = 1;
  OutgoingFrame frame;
  frame.header = header_of(payload_);
  frame.payload = payload_;
  Result<void> outcome;
  frame.on_sent = [&](Result<void> sent) { outcome = sent; };
  ASSERT_TRUE(channel_->send(std::move(frame)));
  expect_closed(ErrorCode::kProtocolViolation);
  EXPECT_FALSE(outcome.has_value());
}

TEST_F(HostilePeer, GarbageForAHeaderEndsTheLink) {
  put(std::vector<std::byte>(kFrameHeaderSize, std::byte{7}));
  expect_closed(ErrorCode::kBadMagic);
}

TEST_F(HostilePeer, ControlFramesEndTheLink) {
  FrameHeader header;
  header.type = MessageType::kPing;
  put_header(header);
  expect_closed(ErrorCode::kProtocolViolation);
}

TEST_F(HostilePeer, TooLongAFrameEndsTheLink) {
  FrameHeader header;
  header.type = MessageType::kData;
  header.length = kMaxDataPayload + Bytes(1);
  put_header(header);
  expect_closed(ErrorCode::kBadLength);
  EXPECT_TRUE(sink_.slot.empty());
}

TEST_F(HostilePeer, DeathInTheMiddleOfAPayloadDropsIt) {
  put_header(header_of(payload_));
  put(std::span(payload_).first(100));
  socket_ = UniqueFd();
  expect_closed(ErrorCode::kPeerLost);
  EXPECT_EQ(sink_.dropped, 1);
  EXPECT_TRUE(sink_.good.empty());
}

TEST_F(HostilePeer, WhatWasWrittenBeforeDeathStillArrives) {
  (void)writer_->room();
  writer_->put(encode(header_of(payload_)));
  writer_->put(payload_);
  (void)writer_->publish();
  socket_ = UniqueFd();
  expect_closed(ErrorCode::kPeerLost);
  EXPECT_EQ(sink_.good, std::vector<bool>{true});
}

TEST_F(HostilePeer, AFloodOfKnocksCostsNothingButTurns) {
  for (int at = 0; at < 10'000; ++at) knock(socket_);
  turn();
  put_header(header_of(payload_));
  put(payload_);
  EXPECT_EQ(sink_.good, std::vector<bool>{true});
}

TEST_F(HostilePeer, InvitationsForNobodyAreBounded) {
  SocketName name{};
  std::copy(fabric_->local_address().begin(), fabric_->local_address().end(), name.begin());
  std::vector<UniqueFd> sockets;
  for (std::uint64_t key = 1000; key < 1300; ++key) {
    auto socket = connect_to(name);
    if (!socket) {  // the queue is full: the next attach takes it away
      EXPECT_FALSE(fabric_->attach(DataFabric::Peering{{}, 1, 0, AttachTurn::kSecond}));
      socket = connect_to(name);
    }
    ASSERT_TRUE(socket);
    ASSERT_TRUE(send_invitation(*socket, Invitation{key, kRing}, memfd_of(memory_for(kRing), kSizeSeals)));
    sockets.push_back(std::move(*socket));
  }
  EXPECT_FALSE(fabric_->attach(DataFabric::Peering{{}, 1, 0, AttachTurn::kSecond}));
  EXPECT_FALSE(fabric_->attach(DataFabric::Peering{{}, 1000, 0, AttachTurn::kSecond})) << "the oldest went";
  const auto last = fabric_->attach(DataFabric::Peering{{}, 1299, 0, AttachTurn::kSecond});
  EXPECT_TRUE(last.has_value());
}

TEST_F(HostilePeer, RingsOutOfBoundsAreRefused) {
  SocketName name{};
  std::copy(fabric_->local_address().begin(), fabric_->local_address().end(), name.begin());
  for (const std::uint64_t ring : {std::uint64_t{0}, kLeastRing.count() - 1, kLeastRing.count() + 4096,
                                   kLeastRing.count() / 2, kMostRing.count() * 2, ~std::uint64_t{0}}) {
    auto socket = connect_to(name);
    ASSERT_TRUE(socket);
    ASSERT_TRUE(send_invitation(*socket, Invitation{5, Bytes(ring)}, memfd_of(memory_for(kRing), kSizeSeals)));
    const auto channel = fabric_->attach(DataFabric::Peering{{}, 5, 0, AttachTurn::kSecond});
    ASSERT_FALSE(channel) << ring;
    EXPECT_EQ(channel.error().code, ErrorCode::kBadLength);
  }
}

}  // namespace
}  // namespace sluice::transport::shm
