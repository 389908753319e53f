#include "transport/shm/shm_fabric.h"

#include <unistd.h>

#include <algorithm>
#include <deque>
#include <random>

#include "transport/shared_channel.h"
#include "transport/shm/rendezvous.h"
#include "transport/shm/shared_memory.h"
#include "transport/shm/shm_channel.h"

namespace sluice::transport::shm {
namespace {

// Invitations that wait for their session; more at once would be somebody's flood, and the oldest go.
constexpr std::size_t kMostWaiting = 64;

bool is_sound(Bytes ring) {
  return ring >= kLeastRing && ring <= kMostRing && (ring.count() & (ring.count() - 1)) == 0;
}

SocketName random_name() {
  std::random_device random;
  SocketName name{};
  for (std::byte& byte : name) byte = static_cast<std::byte>(random() & 0xFFU);
  return name;
}

class ShmFabric final : public DataFabric {
 public:
  ShmFabric(asio::io_context& loop, UniqueFd listener, const SocketName& name, const ShmOptions& options)
      : loop_(loop), listener_(std::move(listener)), name_(name), options_(options) {}
  ~ShmFabric() override { SLUICE_ASSERT(links_ == 0); }

  std::string_view name() const override { return "shm"; }
  std::uint64_t capability() const override { return kCapabilityShm; }
  std::span<const std::byte> local_address() const override { return name_; }

  Result<std::unique_ptr<Channel>> attach(const Peering& peering) override {
    SLUICE_ASSIGN(ShmLink::Shared shared, peering.turn == AttachTurn::kFirst ? invite(peering) : take_up(peering));
    auto link = std::make_shared<ShmLink>(loop_, std::move(shared), options_);
    ++links_;
    link->set_on_ended([this] {
      asio::post(loop_, [this] {
        --links_;
        report_closed();
      });
    });
    return std::unique_ptr<Channel>(std::make_unique<SharedChannel<ShmLink>>(std::move(link)));
  }

  void async_close(std::function<void()> done) override {
    closed_ = std::move(done);
    listener_ = UniqueFd();
    waiting_.clear();
    report_closed();
  }

 private:
  struct Waiting {
    UniqueFd socket;
    Invited invited;
  };

  PeerUsers users() const { return options_.any_user ? PeerUsers::kAnyUser : PeerUsers::kSameUser; }

  Result<ShmLink::Shared> invite(const Peering& peering) {
    SocketName peer{};
    if (peering.address.size() != peer.size()) return Error{ErrorCode::kBadLength, 0, "shm address of the peer"};
    std::copy(peering.address.begin(), peering.address.end(), peer.begin());
    SLUICE_ASSIGN(UniqueFd socket, connect_to(peer));
    SLUICE_TRY(check_user(socket, ::geteuid(), users()));
    SLUICE_ASSIGN(SharedMemory memory, SharedMemory::create(memory_for(options_.ring)));
    SLUICE_TRY(send_invitation(socket, Invitation{peering.remote_key, options_.ring}, memory.take_memfd()));
    return ShmLink::Shared{std::move(socket), std::move(memory), RingSide::kFirst};
  }

  Result<ShmLink::Shared> take_up(const Peering& peering) {
    accept_all();
    const auto found = std::find_if(waiting_.begin(), waiting_.end(), [&](const Waiting& waiting) {
      return waiting.invited.invitation.key == peering.local_key;
    });
    if (found == waiting_.end()) return Error{ErrorCode::kNotFound, 0, "the peer sent no shared memory"};
    Waiting ours = std::move(*found);
    waiting_.erase(found);
    const Bytes ring = ours.invited.invitation.ring;
    if (!is_sound(ring)) return Error{ErrorCode::kBadLength, 0, "ring of the shm peer"};
    SLUICE_ASSIGN(SharedMemory memory, SharedMemory::adopt(ours.invited.memfd, memory_for(ring)));
    return ShmLink::Shared{std::move(ours.socket), std::move(memory), RingSide::kSecond};
  }

  // The peer sends its invitation before the greeting that leads here, so what we look for has come. What is of another
  // user, wrong, not whole or left behind is closed.
  void accept_all() {
    std::erase_if(waiting_, [](const Waiting& waiting) { return has_closed(waiting.socket); });
    while (true) {
      Result<UniqueFd> socket = accept_from(listener_);
      if (!socket) return socket.error().code == ErrorCode::kNotFound ? void() : listen_again();
      if (!check_user(*socket, ::geteuid(), users())) continue;
      Result<Invited> invited = receive_invitation(*socket);
      if (!invited) continue;
      waiting_.push_back(Waiting{std::move(*socket), std::move(*invited)});
      if (waiting_.size() > kMostWaiting) waiting_.pop_front();
    }
  }

  // Without a descriptor left for them, those who wait must not wait for ever: they see that we are gone and use tcp.
  void listen_again() {
    listener_ = UniqueFd();
    Result<UniqueFd> again = listen_at(name_);
    if (again) listener_ = std::move(*again);
  }

  void report_closed() {
    if (!closed_ || links_ > 0) return;
    std::function<void()> done;
    done.swap(closed_);
    asio::post(loop_, std::move(done));
  }

  asio::io_context& loop_;
  UniqueFd listener_;
  SocketName name_;
  ShmOptions options_;
  std::deque<Waiting> waiting_;
  std::size_t links_ = 0;
  std::function<void()> closed_;
};

}  // namespace

Result<std::unique_ptr<DataFabric>> open_shm_fabric(asio::io_context& loop, const ShmOptions& options) {
  if (!is_sound(options.ring)) return Error{ErrorCode::kInvalidArgument, 0, "shm ring size"};
  const SocketName name = random_name();
  SLUICE_ASSIGN(UniqueFd listener, listen_at(name));
  return std::unique_ptr<DataFabric>(std::make_unique<ShmFabric>(loop, std::move(listener), name, options));
}

}  // namespace sluice::transport::shm
