#include "transport/tcp/tcp_channel.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

namespace sluice::transport::tcp {
namespace {

constexpr std::size_t kScratchSize = 64U << 10U;

// A batch takes no further frame once it holds so much: a control frame waits behind at most one batch.
constexpr std::uint64_t kBatchBytes = 128U << 10U;

Result<void> set_option(int socket, int level, int name, std::uint64_t value) {
  const int number = static_cast<int>(std::min<std::uint64_t>(value, 1U << 30U));
  if (::setsockopt(socket, level, name, &number, sizeof(number)) != 0)
    return Error{ErrorCode::kIo, errno, "setsockopt"};
  return {};
}

constexpr Error kTlsPeer{ErrorCode::kTlsMismatch, 0, "the peer speaks TLS, we do not"};

// So that a peer that speaks TLS learns why; what it has sent is taken off the socket first, since unread bytes would
// turn our close into a reset that overtakes the answer.
void answer_tls(int socket) {
  std::array<std::byte, 4096> unread;
  while (::recv(socket, unread.data(), unread.size(), MSG_DONTWAIT) == static_cast<ssize_t>(unread.size())) {
  }
  send_version_alert(socket);
}

}  // namespace

template <typename Stream>
TcpConnection<Stream>::TcpConnection(Stream stream, const TcpOptions& options, std::vector<std::string> proven_names)
    : stream_(std::move(stream)),
      flush_timer_(stream_.get_executor()),
      options_(options),
      proven_names_(std::move(proven_names)),
      queue_(options.queue) {
  batch_.reserve(kBatchFrames);
  batch_buffers_.reserve(2 * kBatchFrames);
}

template <typename Stream>
Result<void> TcpConnection<Stream>::set_up() {
  const int fd = stream_.lowest_layer().native_handle();
  SLUICE_TRY(set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1));
  const auto timeout = std::chrono::duration_cast<std::chrono::milliseconds>(options_.user_timeout).count();
  SLUICE_TRY(set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, static_cast<std::uint64_t>(timeout)));
  SLUICE_TRY(set_option(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, options_.unsent_low_water.count()));
  if (!options_.socket_buffer.is_zero()) {
    SLUICE_TRY(set_option(fd, SOL_SOCKET, SO_SNDBUF, options_.socket_buffer.count()));
    SLUICE_TRY(set_option(fd, SOL_SOCKET, SO_RCVBUF, options_.socket_buffer.count()));
  }
  boost::system::error_code error;
  stream_.lowest_layer().non_blocking(true, error);
  if (error) return from_asio(error, "non_blocking");
  return {};
}

template <typename Stream>
void TcpConnection<Stream>::start(FrameSink& sink) {
  SLUICE_ASSERT(sink_ == nullptr);
  sink_ = &sink;
  read_more();
}

template <typename Stream>
Result<void> TcpConnection<Stream>::send(OutgoingFrame frame) {
  if (closing_) return Error{ErrorCode::kPeerLost, 0, "send on a closing connection"};
  SLUICE_TRY(queue_.push(std::move(frame)));
  kick_write();
  return {};
}

template <typename Stream>
void TcpConnection<Stream>::drop(RequestId request) {
  std::deque<OutgoingFrame> gone = queue_.drop(request);
  if (!gone.empty()) asio::post(stream_.get_executor(), settling(std::move(gone), kDropped));
}

template <typename Stream>
void TcpConnection<Stream>::kick_write() {
  if (writing_ || broken_) return;
  fill_batch();
  if (batch_.empty()) {
    if (closing_) break_off();
    return;
  }
  writing_ = true;
  write_more();
}

template <typename Stream>
void TcpConnection<Stream>::fill_batch() {
  batch_.clear();
  batch_buffers_.clear();
  batch_at_ = 0;
  std::uint64_t bytes = 0;
  bool has_data = false;
  while (batch_.size() < kBatchFrames && bytes < kBatchBytes && !queue_.is_empty()) {
    take_next();
    has_data = has_data || is_data(batch_.back());
    bytes += wire_size(batch_.back()).count();
  }
  data_went_last_ = has_data || (data_went_last_ && queue_.has_data());
}

template <typename Stream>
void TcpConnection<Stream>::take_next() {
  const std::size_t index = batch_.size();
  batch_.push_back(queue_.pop());
  OutgoingFrame& frame = batch_.back();
  if (is_data(frame)) {
    if (data_went_last_) frame.header.flags |= kFlagBackToBack;
    data_went_last_ = true;
  }
  batch_headers_[index] = encode(frame.header);
  batch_buffers_.emplace_back(batch_headers_[index].data(), kFrameHeaderSize);
  const std::span<const std::byte> payload = payload_of(frame);
  if (!payload.empty()) batch_buffers_.emplace_back(payload.data(), payload.size());
}

template <typename Stream>
void TcpConnection<Stream>::write_more() {
  const std::span<const asio::const_buffer> rest = std::span(batch_buffers_).subspan(batch_at_);
  stream_.async_write_some(rest, [self = this->shared_from_this()](const boost::system::error_code& error,
                                                                   std::size_t size) { self->wrote(error, size); });
}

template <typename Stream>
void TcpConnection<Stream>::wrote(const boost::system::error_code& error, std::size_t size) {
  if (error) {
    writing_ = false;
    settle_batch(stream_error(stream_, error, "write"));
    close(stream_error(stream_, error, "write"));
    break_off();
    finish_if_idle();
    return;
  }
  while (size > 0 && size >= batch_buffers_[batch_at_].size()) size -= batch_buffers_[batch_at_++].size();
  if (size > 0) batch_buffers_[batch_at_] += size;
  if (batch_at_ < batch_buffers_.size() && !broken_) {
    write_more();
    return;
  }
  writing_ = false;
  settle_batch(broken_ ? Result<void>(error_) : Result<void>());
  if (broken_) {
    finish_if_idle();
    return;
  }
  kick_write();
  if (!writing_) data_went_last_ = false;
}

template <typename Stream>
void TcpConnection<Stream>::settle_batch(Result<void> outcome) {
  // Moved out first: an on_sent may send, and so begin the next batch.
  std::vector<OutgoingFrame> done;
  done.swap(batch_);
  batch_.reserve(kBatchFrames);
  for (const OutgoingFrame& frame : done) queue_.sent(frame);
  writing_ = true;  // hold the next batch until all of this one is settled
  for (OutgoingFrame& frame : done) settle(frame, outcome);
  writing_ = false;
}

template <typename Stream>
void TcpConnection<Stream>::read_more() {
  reading_ = true;
  std::array<asio::mutable_buffer, 2> into;
  if (header_) {
    const std::size_t missing = static_cast<std::size_t>(header_->length.count()) - payload_have_;
    if (!target_.empty()) {
      into[0] = asio::buffer(target_.data() + payload_have_, missing);
    } else {
      scratch_.resize(kScratchSize);
      into[0] = asio::buffer(scratch_.data(), std::min(missing, kScratchSize));
    }
    if (missing == into[0].size()) into[1] = asio::buffer(header_bytes_.data(), kFrameHeaderSize);
  } else {
    into[0] = asio::buffer(header_bytes_.data() + header_have_, kFrameHeaderSize - header_have_);
  }
  stream_.async_read_some(into, [self = this->shared_from_this()](const boost::system::error_code& error,
                                                                  std::size_t size) { self->read(error, size); });
}

template <typename Stream>
void TcpConnection<Stream>::read(const boost::system::error_code& error, std::size_t size) {
  reading_ = false;
  if (error) close(speaks_tls() ? kTlsPeer : stream_error(stream_, error, "read"));
  if (closing_) {
    if (error) break_off();
    finish_if_idle();
    return;
  }
  sink_->on_progress(Bytes(size));
  if (header_) {
    const std::size_t missing = static_cast<std::size_t>(header_->length.count()) - payload_have_;
    const std::size_t payload = std::min(size, missing);
    payload_have_ += payload;
    header_have_ = size - payload;  // the next frame's header, when the payload is whole
    if (payload_have_ == header_->length.count()) took_payload();
  } else {
    header_have_ += size;
  }
  if (!closing_ && !header_ && header_have_ == kFrameHeaderSize && took_header() && header_ &&
      header_->length.is_zero()) {
    took_payload();
  }
  if (closing_) {
    finish_if_idle();
    return;
  }
  read_more();
}

template <typename Stream>
void TcpConnection<Stream>::took_payload() {
  const FrameHeader header = *header_;
  const bool dropped = target_.empty() && !header.length.is_zero();
  const std::span<const std::byte> payload = target_;
  header_.reset();
  target_ = {};
  payload_have_ = 0;
  if (!dropped) sink_->on_frame(header, payload);
}

template <typename Stream>
bool TcpConnection<Stream>::took_header() {
  const Result<FrameHeader> header = decode_frame(header_bytes_);
  if (!header) {
    if (speaks_tls()) answer_tls(stream_.lowest_layer().native_handle());
    close(speaks_tls() ? kTlsPeer : header.error());
    return false;
  }
  header_have_ = 0;
  if (header->length > max_payload(header->type)) {
    close(Error{ErrorCode::kBadLength, 0, "frame length"});
    return false;
  }
  const Result<std::span<std::byte>> place = sink_->place(*header);
  if (!place) {
    close(place.error());
    return false;
  }
  SLUICE_ASSERT(place->empty() || place->size() == header->length.count());
  header_ = *header;
  target_ = *place;
  payload_have_ = 0;
  return true;
}

template <typename Stream>
bool TcpConnection<Stream>::speaks_tls() const {
  constexpr std::byte kAlert{21};
  constexpr std::byte kHandshake{22};
  constexpr std::byte kMajor{3};
  return !header_ && header_have_ >= 2 && (header_bytes_[0] == kHandshake || header_bytes_[0] == kAlert) &&
         header_bytes_[1] == kMajor;
}

template <typename Stream>
bool TcpConnection<Stream>::vouches_for(std::string_view name) const {
  if constexpr (std::is_same_v<Stream, asio::ip::tcp::socket>) return true;
  return std::find(proven_names_.begin(), proven_names_.end(), name) != proven_names_.end();
}

template <typename Stream>
void TcpConnection<Stream>::close(Error error) {
  if (closing_) return;
  closing_ = true;
  error_ = error;
  asio::post(stream_.get_executor(), [self = this->shared_from_this(), tell = settling(queue_.take_data(), error_)] {
    tell();
    self->kick_write();
    self->finish_if_idle();
  });
  flush_timer_.expires_after(kFlushTime);
  flush_timer_.async_wait([self = this->shared_from_this()](const boost::system::error_code& stopped) {
    if (!stopped) self->break_off();
  });
}

template <typename Stream>
void TcpConnection<Stream>::break_off() {
  if (broken_) return;
  broken_ = true;
  flush_timer_.cancel();
  boost::system::error_code ignored;
  stream_.lowest_layer().shutdown(asio::ip::tcp::socket::shutdown_both, ignored);
  stream_.lowest_layer().close(ignored);
  asio::post(stream_.get_executor(), [self = this->shared_from_this()] { self->finish_if_idle(); });
}

template <typename Stream>
void TcpConnection<Stream>::finish_if_idle() {
  if (!broken_ || reading_ || writing_ || finished_) return;
  finished_ = true;
  for (OutgoingFrame& frame : queue_.take_control()) settle(frame, error_);
  if (sink_ == nullptr) return;
  if (header_ && !target_.empty()) sink_->on_dropped(*header_);
  sink_->on_closed(error_);
}

template class TcpConnection<asio::ip::tcp::socket>;
template class TcpConnection<TlsStream>;

}  // namespace sluice::transport::tcp
