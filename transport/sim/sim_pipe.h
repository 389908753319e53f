// One simulated connection: two directions, each of them ordered bytes with a delay and a rate, that can be held back,
// corrupted and cut. Ends obey the contract of Channel to the letter, and check that they are used so: placed memory is
// written piece by piece, between other events, until on_frame or on_dropped; on_closed comes last and once.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/quantity.h"
#include "transport/fabric.h"
#include "transport/sim/world.h"

namespace sluice::transport::sim {

/// How a connection carries bytes.
struct PipeOptions {
  Duration delay = std::chrono::microseconds(100);  ///< one way
  BitsPerSecond rate{1'000'000'000};
  Bytes queue{64U << 20U};           ///< what send() takes before kQueueFull
  std::uint64_t corrupt_one_in = 0;  ///< frames of which one gets a flipped bit; 0: none
};

/// One end of a pipe: sends into one direction, receives from the other. Threads: one.
class PipeEnd final : public std::enable_shared_from_this<PipeEnd> {
 public:
  PipeEnd(World& world, NodeLoop& loop, const PipeOptions& options) : world_(world), loop_(loop), options_(options) {}
  static void join(const std::shared_ptr<PipeEnd>& one, const std::shared_ptr<PipeEnd>& other);

  // As Channel.
  void start(FrameSink& sink);
  Result<void> send(OutgoingFrame frame);
  void drop(RequestId request);
  Bytes queued() const { return queued_; }
  void close(Error error);

  /// The owner is gone.
  void abandon() { cut({ErrorCode::kAborted, 0, "channel is gone"}); }

  /// Bytes sent to this end arrive no more until release().
  void hold_back() { is_held_ = true; }
  void release();
  /// The connection breaks: this end learns of it now, what is under way to it is lost.
  void cut(Error error);
  bool is_open() const { return !told_ && !cut_; }

 private:
  /// The frame whose payload is being written into the sink's memory.
  struct Reception {
    FrameHeader header;
    std::span<std::byte> place;
  };

  /// What of a frame is in the network: bytes of its own, since the sender's may change once it was sent.
  struct Flight {
    FrameBytes header{};
    std::vector<std::byte> payload;
  };

  void send_next();
  void launch(const OutgoingFrame& frame);
  void sent();
  void settle(OutgoingFrame frame, const Result<void>& outcome);
  void arrive(std::function<void()> what);
  void take_header(const Flight& flight);
  void take_piece(const Flight& flight, std::size_t from, std::size_t size);
  void take_end(const Flight& flight);
  void forget_data(Error why);
  void tell_closed();

  World& world_;
  NodeLoop& loop_;
  PipeOptions options_;
  std::weak_ptr<PipeEnd> peer_;
  FrameSink* sink_ = nullptr;

  std::deque<OutgoingFrame> control_;
  std::deque<OutgoingFrame> data_;
  Bytes queued_;
  std::optional<OutgoingFrame> leaving_;  // is being handed to the network
  bool sending_ = false;

  bool is_held_ = false;
  std::vector<std::function<void()>> held_;
  std::optional<Reception> reception_;

  bool cut_ = false;      // nothing is carried any more
  bool closing_ = false;  // the owner asked for the end
  bool told_ = false;     // on_closed was called
  Error error_;
};

}  // namespace sluice::transport::sim
