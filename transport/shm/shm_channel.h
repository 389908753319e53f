// One shared memory as a Channel for DATA frames: a ring each way, and the unix socket that brought it to wake a
// sleeping side. Frames of any size flow through a small ring: the reader takes the first pieces while the writer puts
// the next. Payloads are copied out into the slot that the sink names and judged there, where the peer cannot reach.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>

#include "base/clock.h"
#include "transport/asio.h"
#include "transport/fabric.h"
#include "transport/send_queue.h"
#include "transport/shm/rendezvous.h"
#include "transport/shm/shared_memory.h"
#include "transport/shm/shared_ring.h"
#include "transport/shm/shm_fabric.h"

namespace sluice::transport::shm {

/// Which of the two rings we write.
enum class RingSide : std::uint8_t { kFirst = 0, kSecond = 1 };

/// Threads: the loop's. Kept alive by its running operations.
class ShmLink : public std::enable_shared_from_this<ShmLink> {
 public:
  /// A connected socket and the memory that went over it.
  struct Shared {
    UniqueFd socket;
    SharedMemory memory;
    RingSide side = RingSide::kFirst;
  };

  ShmLink(asio::io_context& loop, Shared shared, const ShmOptions& options);
  /// `ended` is called last of all.
  void set_on_ended(std::function<void()> ended) { ended_ = std::move(ended); }

  // Channel.
  void start(FrameSink& sink);
  Result<void> send(OutgoingFrame frame);
  void drop(RequestId request);
  Bytes queued() const { return queue_.bytes(); }
  void close(Error error);
  /// The Channel is destroyed; one that was never started closes silently.
  void abandon();

 private:
  // Copied and made visible at once: small enough for the reader to begin early, large enough to knock rarely.
  static constexpr std::size_t kPiece = 64U << 10U;
  // Each way, before the loop's other work has its turn.
  static constexpr std::size_t kTurnBytes = 2U << 20U;

  struct Outgoing {
    OutgoingFrame frame;
    FrameBytes header{};
    std::size_t sent = 0;  // of header and payload together
  };

  void kick();
  void turn();
  Result<bool> write_some();
  void begin_frame();
  std::size_t put_piece(std::size_t room);
  Result<bool> read_some();
  Result<void> took_header();
  void took_payload();
  bool has_new_bytes();
  bool may_sleep();
  void wait();
  void finish();

  asio::io_context& loop_;
  ShmOptions options_;
  SharedMemory memory_;
  UniqueFd socket_;
  asio::posix::stream_descriptor knocks_;  // the same descriptor, which socket_ owns
  RingWriter writer_;
  RingReader reader_;
  FrameSink* sink_ = nullptr;
  std::function<void()> ended_;

  SendQueue queue_;
  std::optional<Outgoing> sending_;
  bool data_went_last_ = false;
  bool is_blocked_ = false;  // the ring is full

  FrameBytes header_bytes_{};
  std::optional<FrameHeader> header_;  // of the payload that is being read
  std::span<std::byte> target_;        // empty = drop it
  std::size_t payload_have_ = 0;

  bool kicked_ = false;
  bool peer_has_closed_ = false;
  bool closing_ = false;
  Error error_;
};

}  // namespace sluice::transport::shm
