#include "integration/bench/raw_stream.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <random>
#include <vector>

#include "transport/shm/rendezvous.h"
#include "transport/shm/shared_memory.h"
#include "transport/shm/shared_ring.h"

namespace sluice::integration::bench {
namespace {

using transport::shm::UniqueFd;

constexpr Bytes kRing{2U << 20U};
constexpr std::size_t kPiece = 64U << 10U;
constexpr std::size_t kMostPieces = 256;  // of one system call

Error lost(const char* where) { return Error{errno == 0 ? ErrorCode::kPeerLost : ErrorCode::kIo, errno, where}; }

class SocketStream final : public RawStream {
 public:
  explicit SocketStream(UniqueFd socket) : socket_(std::move(socket)) {
    const int on = 1;
    (void)::setsockopt(socket_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  }
  Result<void> write(std::span<const std::span<const std::byte>> pieces) override {
    std::vector<iovec> all;
    for (const auto piece : pieces) all.push_back({const_cast<std::byte*>(piece.data()), piece.size()});
    return move_all(all, [this](const iovec* part, int count) { return ::writev(socket_.get(), part, count); });
  }
  Result<void> read(std::span<const std::span<std::byte>> pieces) override {
    std::vector<iovec> all;
    for (const auto piece : pieces) all.push_back({piece.data(), piece.size()});
    return move_all(all, [this](const iovec* part, int count) { return ::readv(socket_.get(), part, count); });
  }

 private:
  template <typename Call>
  static Result<void> move_all(std::vector<iovec>& pieces, const Call& call) {
    for (std::size_t at = 0; at < pieces.size();) {
      errno = 0;
      const ssize_t moved = call(&pieces[at], static_cast<int>(std::min(pieces.size() - at, kMostPieces)));
      if (moved <= 0) return lost("raw socket");
      auto rest = static_cast<std::size_t>(moved);
      while (at < pieces.size() && rest >= pieces[at].iov_len) rest -= pieces[at++].iov_len;
      if (rest > 0) pieces[at] = {static_cast<std::byte*>(pieces[at].iov_base) + rest, pieces[at].iov_len - rest};
    }
    return {};
  }

  UniqueFd socket_;
};

class RingStream final : public RawStream {
 public:
  RingStream(UniqueFd socket, transport::shm::SharedMemory memory, std::size_t side)
      : socket_(std::move(socket)),
        memory_(std::move(memory)),
        writer_(transport::shm::ring_of(memory_.bytes(), side)),
        reader_(transport::shm::ring_of(memory_.bytes(), 1 - side)) {}

  Result<void> write(std::span<const std::span<const std::byte>> pieces) override {
    std::size_t unpublished = 0;
    for (auto piece : pieces) {
      while (!piece.empty()) {
        SLUICE_ASSIGN(const std::size_t room, writer_.room());
        const std::size_t size = std::min({room, piece.size(), kPiece - unpublished});
        writer_.put(piece.first(size));
        piece = piece.subspan(size);
        unpublished += size;
        if (unpublished == kPiece || size == room) publish(unpublished);
        if (room == 0 && writer_.sleep()) SLUICE_TRY(wait());
      }
    }
    publish(unpublished);
    return {};
  }
  Result<void> read(std::span<const std::span<std::byte>> pieces) override {
    for (auto piece : pieces) {
      while (!piece.empty()) {
        SLUICE_ASSIGN(const std::size_t available, reader_.available());
        const std::size_t size = std::min(available, piece.size());
        reader_.take(piece.first(size));
        piece = piece.subspan(size);
        if (reader_.give_back()) transport::shm::knock(socket_);
        if (available == 0 && reader_.sleep()) SLUICE_TRY(wait());
      }
    }
    return {};
  }

 private:
  void publish(std::size_t& unpublished) {
    unpublished = 0;
    if (writer_.publish()) transport::shm::knock(socket_);
  }
  Result<void> wait() {
    pollfd knocks{socket_.get(), POLLIN, 0};
    while (::poll(&knocks, 1, -1) < 0 && errno == EINTR) continue;
    errno = 0;
    if (!transport::shm::take_knocks(socket_)) return lost("raw ring");
    return {};
  }

  UniqueFd socket_;
  transport::shm::SharedMemory memory_;
  transport::shm::RingWriter writer_;
  transport::shm::RingReader reader_;
};

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

UniqueFd tcp_socket() { return UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)); }

Result<std::unique_ptr<RawStream>> await_socket(const std::function<void(const std::string&)>& ready) {
  const UniqueFd listener = tcp_socket();
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof(address);
  if (::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), size) != 0 ||
      ::listen(listener.get(), 1) != 0 ||
      ::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    return Error{ErrorCode::kIo, errno, "raw listener"};
  }
  ready(std::to_string(ntohs(address.sin_port)));
  UniqueFd socket(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!socket.is_open()) return Error{ErrorCode::kIo, errno, "raw accept"};
  return std::unique_ptr<RawStream>(std::make_unique<SocketStream>(std::move(socket)));
}

// The name of the listener, as text: only its first bytes differ.
transport::shm::SocketName ring_name(const std::string& address) {
  transport::shm::SocketName name{};
  for (std::size_t at = 0; at < std::min(address.size(), name.size()); ++at) {
    name[at] = static_cast<std::byte>(address[at]);
  }
  return name;
}

Result<std::unique_ptr<RawStream>> await_ring(const std::function<void(const std::string&)>& ready) {
  const std::string address = std::to_string(std::random_device{}());
  SLUICE_ASSIGN(const UniqueFd listener, transport::shm::listen_at(ring_name(address)));
  ready(address);
  pollfd waits{listener.get(), POLLIN, 0};
  while (::poll(&waits, 1, -1) < 0 && errno == EINTR) continue;
  SLUICE_ASSIGN(UniqueFd socket, transport::shm::accept_from(listener));
  pollfd message{socket.get(), POLLIN, 0};
  while (::poll(&message, 1, -1) < 0 && errno == EINTR) continue;
  SLUICE_ASSIGN(const auto invited, transport::shm::receive_invitation(socket));
  SLUICE_ASSIGN(auto memory, transport::shm::SharedMemory::adopt(invited.memfd, transport::shm::memory_for(kRing)));
  return std::unique_ptr<RawStream>(std::make_unique<RingStream>(std::move(socket), std::move(memory), 1));
}

Result<std::unique_ptr<RawStream>> connect_ring(const std::string& address) {
  SLUICE_ASSIGN(UniqueFd socket, transport::shm::connect_to(ring_name(address)));
  SLUICE_ASSIGN(auto memory, transport::shm::SharedMemory::create(transport::shm::memory_for(kRing)));
  SLUICE_TRY(transport::shm::send_invitation(socket, {0, kRing}, memory.take_memfd()));
  return std::unique_ptr<RawStream>(std::make_unique<RingStream>(std::move(socket), std::move(memory), 0));
}

}  // namespace

Result<std::unique_ptr<RawStream>> await_stream(RawKind kind, const std::function<void(const std::string&)>& ready) {
  return kind == RawKind::kTcp ? await_socket(ready) : await_ring(ready);
}

Result<std::unique_ptr<RawStream>> connect_stream(RawKind kind, const std::string& address) {
  if (kind == RawKind::kRing) return connect_ring(address);
  UniqueFd socket = tcp_socket();
  const sockaddr_in peer = loopback(static_cast<std::uint16_t>(std::stoul(address)));
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&peer), sizeof(peer)) != 0) {
    return Error{ErrorCode::kUnreachable, errno, "raw connect"};
  }
  return std::unique_ptr<RawStream>(std::make_unique<SocketStream>(std::move(socket)));
}

}  // namespace sluice::integration::bench
