#include "transport/shm/rendezvous.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <string_view>

#include "transport/wire.h"

namespace sluice::transport::shm {
namespace {

constexpr std::uint32_t kMagic = 0x48534C53U;  // "SLSH"
constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kInvitationSize = 24;
constexpr int kBacklog = 64;
constexpr int kMostKnocks = 4;  // reads of 64 knocks each

struct Address {
  sockaddr_un name{};
  socklen_t size = 0;
};

// Abstract: the first byte of the path is zero, and the name ends by its length.
Address address_of(const SocketName& name) {
  constexpr std::string_view kPrefix = "sluice.";
  constexpr std::string_view kDigits = "0123456789abcdef";
  Address address;
  address.name.sun_family = AF_UNIX;
  std::size_t at = 1;
  for (const char letter : kPrefix) address.name.sun_path[at++] = letter;
  for (const std::byte byte : name) {
    address.name.sun_path[at++] = kDigits[std::to_integer<std::size_t>(byte >> 4U)];
    address.name.sun_path[at++] = kDigits[std::to_integer<std::size_t>(byte & std::byte{15})];
  }
  address.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + at);
  return address;
}

UniqueFd make_socket() { return UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)); }

// All descriptors of a message, so that none leaks whatever else is wrong with it.
struct Descriptors {
  UniqueFd first;
  std::size_t count = 0;
};

Descriptors take_descriptors(msghdr& message) {
  Descriptors found;
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int number = -1;
      std::memcpy(&number, CMSG_DATA(part) + i * sizeof(int), sizeof(int));
      UniqueFd descriptor(number);
      if (found.count++ == 0) found.first = std::move(descriptor);
    }
  }
  return found;
}

Result<Invitation> parse(std::span<const std::byte> bytes) {
  WireReader in(bytes);
  if (in.take<std::uint32_t>() != kMagic) return Error{ErrorCode::kBadMagic, 0, "shm invitation"};
  if (in.take<std::uint32_t>() != kVersion) return Error{ErrorCode::kBadVersion, 0, "shm invitation"};
  Invitation invitation;
  invitation.key = in.take<std::uint64_t>();
  invitation.ring = Bytes(in.take<std::uint64_t>());
  return in.finish(invitation, "shm invitation");
}

}  // namespace

Result<UniqueFd> listen_at(const SocketName& name) {
  UniqueFd socket = make_socket();
  const Address address = address_of(name);
  if (!socket.is_open() || ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address.name), address.size) != 0 ||
      ::listen(socket.get(), kBacklog) != 0) {
    return Error{ErrorCode::kIo, errno, "shm listener"};
  }
  return socket;
}

Result<UniqueFd> connect_to(const SocketName& name) {
  UniqueFd socket = make_socket();
  if (!socket.is_open()) return Error{ErrorCode::kIo, errno, "shm socket"};
  const Address address = address_of(name);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address.name), address.size) != 0) {
    return Error{ErrorCode::kUnreachable, errno, "the peer shares no host with us"};
  }
  return socket;
}

Result<UniqueFd> accept_from(const UniqueFd& listener) {
  UniqueFd socket(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (socket.is_open()) return socket;
  if (errno == EAGAIN || errno == EWOULDBLOCK) return Error{ErrorCode::kNotFound, 0, "no shm connection waits"};
  return Error{ErrorCode::kIo, errno, "shm accept"};
}

Result<void> check_user(const UniqueFd& socket, uid_t us, PeerUsers users) {
  ucred peer{};
  socklen_t size = sizeof(peer);
  const bool known = ::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && size == sizeof(peer);
  if (known && (users == PeerUsers::kAnyUser || peer.uid == us)) return {};
  return Error{ErrorCode::kUnsupported, 0, "the peer is another user's"};
}

Result<void> send_invitation(const UniqueFd& socket, const Invitation& invitation, const UniqueFd& memfd) {
  WireWriter out;
  out.put(kMagic);
  out.put(kVersion);
  out.put(invitation.key);
  out.put(invitation.ring.count());
  std::vector<std::byte> bytes = out.take();
  iovec text{bytes.data(), bytes.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> room{};
  msghdr message{};
  message.msg_iov = &text;
  message.msg_iovlen = 1;
  message.msg_control = room.data();
  message.msg_controllen = room.size();
  cmsghdr* rights = CMSG_FIRSTHDR(&message);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(sizeof(int));
  const int number = memfd.get();
  std::memcpy(CMSG_DATA(rights), &number, sizeof(number));
  const ssize_t sent = ::sendmsg(socket.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent == static_cast<ssize_t>(bytes.size())) return {};
  const bool is_gone = sent < 0 && (errno == EPIPE || errno == ECONNRESET);
  return Error{is_gone ? ErrorCode::kPeerLost : ErrorCode::kIo, errno, "shm invitation"};
}

Result<Invited> receive_invitation(const UniqueFd& socket) {
  std::array<std::byte, kInvitationSize> bytes{};
  iovec text{bytes.data(), bytes.size()};
  constexpr std::size_t kMostDescriptors = 4;  // more than one is wrong, and must not leak
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMostDescriptors * sizeof(int))> room{};
  msghdr message{};
  message.msg_iov = &text;
  message.msg_iovlen = 1;
  message.msg_control = room.data();
  message.msg_controllen = room.size();
  const ssize_t size = ::recvmsg(socket.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
    return Error{ErrorCode::kNotFound, 0, "no shm invitation yet"};
  }
  if (size <= 0) return Error{ErrorCode::kPeerLost, size < 0 ? errno : 0, "shm invitation"};
  Descriptors descriptors = take_descriptors(message);
  if (size != static_cast<ssize_t>(bytes.size())) return Error{ErrorCode::kBadLength, 0, "shm invitation"};
  if (descriptors.count != 1 || (message.msg_flags & MSG_CTRUNC) != 0) {
    return Error{ErrorCode::kBadField, 0, "descriptors of a shm invitation"};
  }
  SLUICE_ASSIGN(const Invitation invitation, parse(bytes));
  return Invited{invitation, std::move(descriptors.first)};
}

void knock(const UniqueFd& socket) {
  const std::byte one{1};
  // Failing is harmless: a full socket holds knocks enough, a broken one tells the reader by itself.
  (void)!::send(socket.get(), &one, sizeof(one), MSG_DONTWAIT | MSG_NOSIGNAL);
}

bool has_closed(const UniqueFd& socket) {
  std::byte next{};
  const ssize_t size = ::recv(socket.get(), &next, sizeof(next), MSG_DONTWAIT | MSG_PEEK);
  return size == 0 || (size < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

bool take_knocks(const UniqueFd& socket) {
  std::array<std::byte, 64> knocks{};
  for (int round = 0; round < kMostKnocks; ++round) {
    const ssize_t size = ::recv(socket.get(), knocks.data(), knocks.size(), MSG_DONTWAIT);
    if (size == 0) return false;
    if (size < 0) return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
    if (static_cast<std::size_t>(size) < knocks.size()) return true;
  }
  return true;
}

}  // namespace sluice::transport::shm
