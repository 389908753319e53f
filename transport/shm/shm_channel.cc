#include "transport/shm/shm_channel.h"

#include <algorithm>

namespace sluice::transport::shm {
namespace {

std::size_t index(RingSide side) { return static_cast<std::size_t>(side); }

}  // namespace

ShmLink::ShmLink(asio::io_context& loop, Shared shared, const ShmOptions& options)
    : loop_(loop),
      options_(options),
      memory_(std::move(shared.memory)),
      socket_(std::move(shared.socket)),
      knocks_(loop),
      writer_(ring_of(memory_.bytes(), index(shared.side))),
      reader_(ring_of(memory_.bytes(), 1 - index(shared.side))),
      queue_(options.queue) {}

void ShmLink::start(FrameSink& sink) {
  SLUICE_ASSERT(sink_ == nullptr);
  sink_ = &sink;
  boost::system::error_code error;
  knocks_.assign(socket_.get(), error);
  if (error) return close(from_asio(error, "knocks of the shm peer"));
  wait();
  kick();
}

Result<void> ShmLink::send(OutgoingFrame frame) {
  if (closing_) return Error{ErrorCode::kPeerLost, 0, "send on a closing channel"};
  SLUICE_TRY(queue_.push(std::move(frame)));
  kick();
  return {};
}

void ShmLink::drop(RequestId request) {
  std::deque<OutgoingFrame> gone = queue_.drop(request);
  if (!gone.empty()) asio::post(loop_, settling(std::move(gone), kDropped));
}

void ShmLink::kick() {
  if (kicked_ || closing_ || sink_ == nullptr) return;
  kicked_ = true;
  asio::post(loop_, [self = shared_from_this()] { self->turn(); });
}

void ShmLink::turn() {
  kicked_ = false;
  if (closing_) return;
  const Result<bool> wrote = write_some();
  if (!wrote) return close(wrote.error());
  const Result<bool> read = read_some();
  if (closing_) return;
  if (!read) return close(read.error());
  if (*wrote || *read) return kick();
  if (peer_has_closed_) return close(Error{ErrorCode::kPeerLost, 0, "shm peer"});
  if (!may_sleep()) kick();
}

// True: there is more to do. Both sides of a full ring rely on the reader's knock.
Result<bool> ShmLink::write_some() {
  is_blocked_ = false;
  for (std::size_t done = 0; sending_ || !queue_.is_empty();) {
    if (done >= kTurnBytes) return true;
    if (!sending_) begin_frame();
    SLUICE_ASSIGN(const std::size_t room, writer_.room());
    if (room == 0) {
      is_blocked_ = true;
      return false;
    }
    done += put_piece(std::min(room, kPiece));
    if (writer_.publish()) knock(socket_);
    if (sending_->sent < wire_size(sending_->frame).count()) continue;
    Outgoing sent = std::move(*sending_);
    sending_.reset();
    queue_.sent(sent.frame);
    settle(sent.frame, {});
    if (closing_) return false;
  }
  data_went_last_ = false;
  return false;
}

void ShmLink::begin_frame() {
  sending_.emplace();
  sending_->frame = queue_.pop();
  if (data_went_last_) sending_->frame.header.flags |= kFlagBackToBack;
  data_went_last_ = true;
  sending_->header = encode(sending_->frame.header);
}

std::size_t ShmLink::put_piece(std::size_t room) {
  std::size_t put = 0;
  if (sending_->sent < kFrameHeaderSize) {
    const auto rest = std::span<const std::byte>(sending_->header).subspan(sending_->sent);
    put = std::min(room, rest.size());
    writer_.put(rest.first(put));
  }
  if (sending_->sent + put >= kFrameHeaderSize) {
    const auto rest = payload_of(sending_->frame).subspan(sending_->sent + put - kFrameHeaderSize);
    const std::size_t size = std::min(room - put, rest.size());
    writer_.put(rest.first(size));
    put += size;
  }
  sending_->sent += put;
  return put;
}

// True: there is more to do.
Result<bool> ShmLink::read_some() {
  for (std::size_t done = 0; !closing_;) {
    if (done >= kTurnBytes) return true;
    SLUICE_ASSIGN(const std::size_t available, reader_.available());
    if (!header_) {
      if (available < kFrameHeaderSize) return false;
      SLUICE_TRY(took_header());
      done += kFrameHeaderSize;
    }
    const std::size_t missing = static_cast<std::size_t>(header_->length.count()) - payload_have_;
    SLUICE_ASSIGN(const std::size_t there, reader_.available());
    const std::size_t piece = std::min({missing, there, kPiece});
    if (target_.empty()) {
      reader_.skip(piece);
    } else {
      reader_.take(target_.subspan(payload_have_, piece));
    }
    payload_have_ += piece;
    done += piece;
    if (reader_.give_back()) knock(socket_);
    if (piece > 0) sink_->on_progress(Bytes(piece));
    if (payload_have_ == header_->length.count()) {
      took_payload();
    } else if (piece == 0) {
      return false;
    }
  }
  return false;
}

Result<void> ShmLink::took_header() {
  reader_.take(header_bytes_);
  SLUICE_ASSIGN(const FrameHeader header, decode_frame(header_bytes_));
  if (header.length > max_payload(header.type)) return Error{ErrorCode::kBadLength, 0, "shm frame length"};
  SLUICE_ASSIGN(const std::span<std::byte> place, sink_->place(header));
  SLUICE_ASSERT(place.empty() || place.size() == header.length.count());
  header_ = header;
  target_ = place;
  payload_have_ = 0;
  return {};
}

void ShmLink::took_payload() {
  const FrameHeader header = *header_;
  const bool is_dropped = target_.empty() && !header.length.is_zero();
  const std::span<const std::byte> payload = target_;
  header_.reset();
  target_ = {};
  if (!is_dropped) sink_->on_frame(header, payload);
}

bool ShmLink::has_new_bytes() {
  const Result<std::size_t> available = reader_.available();
  return !available || *available > 0;
}

// Spinning, where asked for, is bounded by its time; then both sides' words for "I sleep" are said.
bool ShmLink::may_sleep() {
  if (options_.spin > Duration(0)) {
    const MonotonicClock clock;
    const Instant until = clock.now() + options_.spin;
    while (clock.now() < until) {
      if (has_new_bytes()) return false;
    }
  }
  const bool nothing_came = reader_.sleep();
  const bool no_room_came = !is_blocked_ || writer_.sleep();
  return nothing_came && no_room_came;
}

void ShmLink::wait() {
  knocks_.async_wait(asio::posix::stream_descriptor::wait_read,
                     [self = shared_from_this()](const boost::system::error_code& error) {
                       if (error || self->closing_) return;
                       self->peer_has_closed_ = !take_knocks(self->socket_);
                       if (!self->peer_has_closed_) self->wait();
                       self->turn();
                     });
}

void ShmLink::close(Error error) {
  if (closing_) return;
  closing_ = true;
  error_ = error;
  asio::post(loop_, [self = shared_from_this()] { self->finish(); });
}

void ShmLink::abandon() {
  if (sink_ == nullptr) close(Error{ErrorCode::kAborted, 0, "never started"});
}

void ShmLink::finish() {
  if (knocks_.is_open()) knocks_.release();
  socket_ = UniqueFd();
  std::deque<OutgoingFrame> unsent = queue_.take_data();
  if (sending_) {
    queue_.sent(sending_->frame);
    unsent.push_front(std::move(sending_->frame));
  }
  sending_.reset();
  for (OutgoingFrame& frame : unsent) settle(frame, error_);
  if (sink_ != nullptr && header_ && !target_.empty()) sink_->on_dropped(*header_);
  if (sink_ != nullptr) sink_->on_closed(error_);
  if (ended_) ended_();
}

}  // namespace sluice::transport::shm
