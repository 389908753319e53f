// One simulated connection: two directions, each of them ordered bytes with a delay and a rate, that can be held back
// and cut; a Watch sees every frame and may lose, double, change or forge some. Ends obey the contract of Channel to
// the letter, and check that they are used so: placed memory is written piece by piece, between other events, until
// on_frame or on_dropped; on_closed comes last and once.
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
  Bytes queue{64U << 20U};  ///< what send() takes before kQueueFull
};

/// What of a frame is in the network: bytes of its own, since the sender's may change once it was sent.
struct Flight {
  FrameBytes header{};
  std::vector<std::byte> payload;
  std::uint8_t mark = 0;  ///< a note of the Watch to itself
};

class PipeEnd;

/// Sees every frame of a simulated network. Calls come from inside the pipe, which none may use. Threads: one.
class Watch {
 public:
  virtual ~Watch() = default;
  /// The owner of `end` sends this frame: in the order of sending.
  virtual void on_given(const PipeEnd& end, const OutgoingFrame& frame) = 0;
  /// It enters the network: what `flights` holds at the return is what is carried.
  /// More than one: the others come whole, right behind the first.
  virtual void on_way(const PipeEnd& end, std::vector<Flight>& flights) = 0;
  /// The sink of `end` chose where the payload goes; empty: nowhere.
  virtual void on_place(const PipeEnd& end, const FrameHeader& header, std::span<const std::byte> place) = 0;
  /// Nothing more of this frame is written to its place; the sink hears of it next. nullptr: it was dropped on the way.
  virtual void on_written(const PipeEnd& end, const FrameHeader& header, const Flight* flight) = 0;
  /// The frame is through, placed or not; after the sink's own call.
  virtual void on_taken(const PipeEnd& end, const FrameHeader& header, const Flight& flight) = 0;
  /// `end` will take no more frames, whatever the reason.
  virtual void on_close(const PipeEnd& end, Error error) = 0;
};

/// One end of a pipe: sends into one direction, receives from the other. Threads: one.
class PipeEnd final : public std::enable_shared_from_this<PipeEnd> {
 public:
  PipeEnd(World& world, NodeLoop& loop, const PipeOptions& options, Watch& watch)
      : world_(world), loop_(loop), options_(options), watch_(watch), made_(world.now()), heard_(world.now()) {}
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
  /// The owner asked for the end, or the connection broke.
  bool is_closing() const { return closing_; }
  const NodeLoop& loop() const { return loop_; }
  Instant made() const { return made_; }
  /// When the sink last heard of bytes.
  Instant heard() const { return heard_; }

 private:
  /// The frame whose payload is being written into the sink's memory.
  struct Reception {
    FrameHeader header;
    std::span<std::byte> place;
  };

  /// Some bytes of a flight come in: the header first, the last piece ends it.
  struct Arrival {
    std::shared_ptr<const Flight> flight;
    std::size_t from = 0;
    std::size_t count = 0;
    bool begins = false;
    bool ends = false;
  };

  void send_next();
  void launch(const OutgoingFrame& frame);
  void sent();
  void settle(OutgoingFrame frame, const Result<void>& outcome);
  void carry(std::vector<Flight> flights);
  void arrive(const Arrival& arrival);
  void arrive_cut(Error error);
  void take(const Arrival& arrival);
  void take_header(const Flight& flight);
  void take_piece(const Arrival& arrival);
  void take_end(const Flight& flight);
  void forget_data(Error why);
  void tell_closed();

  World& world_;
  NodeLoop& loop_;
  PipeOptions options_;
  Watch& watch_;
  Instant made_;
  Instant heard_;
  std::weak_ptr<PipeEnd> peer_;
  FrameSink* sink_ = nullptr;

  std::deque<OutgoingFrame> control_;
  std::deque<OutgoingFrame> data_;
  Bytes queued_;
  std::optional<OutgoingFrame> leaving_;  // is being handed to the network
  bool sending_ = false;

  bool is_held_ = false;
  std::vector<Arrival> held_;
  std::optional<Error> held_cut_;
  std::optional<Reception> reception_;

  bool cut_ = false;      // nothing is carried any more
  bool closing_ = false;  // the owner asked for the end
  bool told_ = false;     // on_closed was called
  Error error_;
};

}  // namespace sluice::transport::sim
