#include "transport/sim/sim_pipe.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "transport/send_queue.h"

namespace sluice::transport::sim {
namespace {

/// Queued control frames get so long to leave after close().
constexpr Duration kLinger = std::chrono::milliseconds(1);
constexpr std::uint64_t kMostPieces = 3;

}  // namespace

void PipeEnd::join(const std::shared_ptr<PipeEnd>& one, const std::shared_ptr<PipeEnd>& other) {
  one->peer_ = other;
  other->peer_ = one;
}

void PipeEnd::start(FrameSink& sink) {
  sink_ = &sink;
  if (cut_) loop_.post([self = shared_from_this()] { self->tell_closed(); });  // it broke before
}

Result<void> PipeEnd::send(OutgoingFrame frame) {
  if (closing_ || cut_) return Error{ErrorCode::kPeerLost, 0, "simulated channel"};
  const Bytes size = wire_size(frame);
  if (queued_ + size > options_.queue) return Error{ErrorCode::kQueueFull, 0, "simulated channel"};
  queued_ += size;
  watch_.on_given(*this, frame);
  (frame.header.type == MessageType::kData ? data_ : control_).push_back(std::move(frame));
  if (!sending_) loop_.post([self = shared_from_this()] { self->send_next(); });
  sending_ = true;
  return {};
}

void PipeEnd::send_next() {
  std::deque<OutgoingFrame>& queue = control_.empty() ? data_ : control_;
  sending_ = !queue.empty() && !cut_;
  if (!sending_) return;
  leaving_ = std::move(queue.front());
  queue.pop_front();
  launch(*leaving_);
  const Duration busy = time_to_send(wire_size(*leaving_), options_.rate);
  loop_.at(world_.now() + busy, [self = shared_from_this()] { self->sent(); });
}

void PipeEnd::launch(const OutgoingFrame& frame) {
  if (peer_.expired()) return;
  const std::span<const std::byte> payload = payload_of(frame);
  std::vector<Flight> flights;
  flights.push_back({encode(frame.header), {payload.begin(), payload.end()}});
  watch_.on_way(*this, flights);
  if (!flights.empty()) carry(std::move(flights));
}

void PipeEnd::carry(std::vector<Flight> flights) {
  const std::shared_ptr<PipeEnd> peer = peer_.lock();
  const auto give = [&](Instant at, const Arrival& arrival) {
    world_.at(at, [peer, arrival] { peer->arrive(arrival); });
  };
  Instant at = world_.now() + options_.delay;
  const auto first = std::make_shared<const Flight>(std::move(flights.front()));
  const std::size_t size = first->payload.size();
  const std::uint64_t pieces = size == 0 ? 0 : std::min<std::uint64_t>(size, world_.between(1, kMostPieces));
  give(at, {first, 0, 0, true, pieces == 0});
  for (std::uint64_t piece = 0; piece < pieces; ++piece) {
    const std::size_t from = size * piece / pieces;
    const std::size_t count = size * (piece + 1) / pieces - from;
    at = at + time_to_send(Bytes(count), options_.rate);
    give(at, {first, from, count, false, piece + 1 == pieces});
  }
  for (std::size_t more = 1; more < flights.size(); ++more) {
    const auto flight = std::make_shared<const Flight>(std::move(flights[more]));
    give(at, {flight, 0, flight->payload.size(), true, true});
  }
}

void PipeEnd::sent() {
  if (leaving_) settle(*std::exchange(leaving_, std::nullopt), {});
  send_next();
}

void PipeEnd::settle(OutgoingFrame frame, const Result<void>& outcome) {
  queued_ -= wire_size(frame);
  if (const auto done = std::exchange(frame.on_sent, nullptr)) done(outcome);
}

void PipeEnd::drop(RequestId request) {
  const auto ended = std::stable_partition(
      data_.begin(), data_.end(), [&](const OutgoingFrame& frame) { return frame.header.unit.request != request; });
  for (auto frame = ended; frame != data_.end(); ++frame) {
    loop_.post([self = shared_from_this(), dropped = std::make_shared<OutgoingFrame>(std::move(*frame))] {
      self->settle(std::move(*dropped), Error{ErrorCode::kAborted, 0, "dropped"});
    });
  }
  data_.erase(ended, data_.end());
}

void PipeEnd::arrive(const Arrival& arrival) {
  if (is_held_) return held_.push_back(arrival);
  loop_.run([self = shared_from_this(), arrival] { self->take(arrival); });
}

void PipeEnd::arrive_cut(Error error) {
  if (is_held_) {
    held_cut_ = error;
    return;
  }
  loop_.run([self = shared_from_this(), error] { self->cut(error); });
}

void PipeEnd::release() {
  is_held_ = false;
  std::vector<Arrival> held;
  held.swap(held_);
  for (const Arrival& arrival : held) arrive(arrival);
  if (const auto error = std::exchange(held_cut_, std::nullopt)) arrive_cut(*error);
}

void PipeEnd::take(const Arrival& arrival) {
  if (cut_ || told_ || sink_ == nullptr) return;
  if (arrival.begins) take_header(*arrival.flight);
  if (arrival.count != 0) take_piece(arrival);
  if (arrival.ends) take_end(*arrival.flight);
}

void PipeEnd::take_header(const Flight& flight) {
  if (closing_) return;
  const Result<FrameHeader> header = decode_frame(flight.header);
  if (!header) return close(header.error());
  if (header->length.count() != flight.payload.size() || header->length > max_payload(header->type)) {
    return close({ErrorCode::kProtocolViolation, 0, "frame length"});
  }
  const Result<std::span<std::byte>> place = sink_->place(*header);
  if (!place) return close(place.error());
  SLUICE_ASSERT(place->empty() || place->size() == flight.payload.size());
  watch_.on_place(*this, *header, *place);
  reception_ = Reception{*header, *place};
  heard_ = world_.now();
  sink_->on_progress(Bytes(kFrameHeaderSize));
}

void PipeEnd::take_piece(const Arrival& arrival) {
  if (!reception_) return;
  if (!reception_->place.empty()) {
    std::memcpy(reception_->place.data() + arrival.from, arrival.flight->payload.data() + arrival.from, arrival.count);
  }
  heard_ = world_.now();
  sink_->on_progress(Bytes(arrival.count));
}

void PipeEnd::take_end(const Flight& flight) {
  if (!reception_) return;
  const Reception whole = *std::exchange(reception_, std::nullopt);
  const bool was_dropped = whole.place.empty() && !flight.payload.empty();  // as the sink asked
  watch_.on_written(*this, whole.header, &flight);
  if (!was_dropped) sink_->on_frame(whole.header, whole.place);
  watch_.on_taken(*this, whole.header, flight);
}

void PipeEnd::close(Error error) {
  if (closing_) return;
  closing_ = true;
  error_ = error;
  watch_.on_close(*this, error);
  forget_data({ErrorCode::kAborted, 0, "channel closes"});
  loop_.at(world_.now() + kLinger, [self = shared_from_this()] { self->tell_closed(); });
}

void PipeEnd::cut(Error error) {
  if (cut_) return;
  cut_ = true;
  control_.clear();
  if (closing_) return;
  closing_ = true;
  error_ = error;
  watch_.on_close(*this, error);
  forget_data(error);
  loop_.post([self = shared_from_this()] { self->tell_closed(); });
}

void PipeEnd::forget_data(Error why) {
  for (OutgoingFrame& frame : data_) {
    loop_.post([self = shared_from_this(), forgotten = std::make_shared<OutgoingFrame>(std::move(frame)), why] {
      self->settle(std::move(*forgotten), why);
    });
  }
  data_.clear();
}

void PipeEnd::tell_closed() {
  if (told_ || sink_ == nullptr) return;
  // Nothing of this end may write into the sink's memory from here on.
  if (reception_) {
    const FrameHeader header = std::exchange(reception_, std::nullopt)->header;
    watch_.on_written(*this, header, nullptr);
    sink_->on_dropped(header);
  }
  if (leaving_) settle(*std::exchange(leaving_, std::nullopt), error_);
  cut_ = true;
  told_ = true;
  if (const std::shared_ptr<PipeEnd> peer = peer_.lock()) {
    const Error gone{ErrorCode::kPeerLost, 0, "the peer closed"};
    world_.after(options_.delay, [peer, gone] { peer->arrive_cut(gone); });
  }
  FrameSink& sink = *std::exchange(sink_, nullptr);
  sink.on_closed(error_);
}

}  // namespace sluice::transport::sim
