// How two processes of one host come to share a memory: a unix socket whose name is 128 random bits, the other side's
// credentials as the kernel gives them, and one message that carries the memfd. Nothing of a peer is read before its
// credentials are right. A name is a plain number on the wire: a peer can make us knock at a Sluice socket only.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/quantity.h"
#include "base/result.h"
#include "transport/shm/unique_fd.h"

namespace sluice::transport::shm {

/// What of a socket's name differs from node to node; our address in the greeting.
using SocketName = std::array<std::byte, 16>;

/// The first and only message of the side that offers a memory.
struct Invitation {
  std::uint64_t key = 0;  ///< of the session that it is for, chosen by the side that gets it
  Bytes ring;             ///< of each direction
};

/// An Invitation that came, and the memory that came with it.
struct Invited {
  Invitation invitation;
  UniqueFd memfd;
};

/// Whom we share memory with.
enum class PeerUsers : std::uint8_t { kSameUser, kAnyUser };

/// A non-blocking socket that listens under `name`, in the network namespace only: no file is made.
/// Errors: kIo.
Result<UniqueFd> listen_at(const SocketName& name);
/// Errors: kUnreachable (nobody there: another host, another network namespace, or too many at once), kIo.
Result<UniqueFd> connect_to(const SocketName& name);
/// The next connection that waits; kNotFound when there is none. Errors: kIo.
Result<UniqueFd> accept_from(const UniqueFd& listener);
/// Errors: kUnsupported (its user is not `us`, and only that one may).
Result<void> check_user(const UniqueFd& socket, uid_t us, PeerUsers users);

/// Errors: kPeerLost, kIo.
Result<void> send_invitation(const UniqueFd& socket, const Invitation& invitation, const UniqueFd& memfd);
/// Does not wait: kNotFound when it is not there yet. Errors: kPeerLost; kBadMagic, kBadVersion, kBadLength, kBadField
/// (not exactly one descriptor); whatever came is closed then.
Result<Invited> receive_invitation(const UniqueFd& socket);

/// Wakes the other side; never waits, whatever the other side does to its end.
void knock(const UniqueFd& socket);
/// Whether the other side is gone and left nothing unread.
bool has_closed(const UniqueFd& socket);
/// Takes all knocks that have come, a bounded number. False: the other side has closed.
bool take_knocks(const UniqueFd& socket);

}  // namespace sluice::transport::shm
