// One TCP connection, plain or under TLS, as a Channel. Reads: header, then payload straight to where the sink says,
// with the next header in the same system call. Writes: control frames first, headers and payloads gathered. Ends:
// on_closed comes once both directions have nothing running, so that no memory of the sink is touched after it.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "transport/asio.h"
#include "transport/fabric.h"
#include "transport/send_queue.h"
#include "transport/tcp/tcp_fabric.h"
#include "transport/tcp/tls_context.h"

namespace sluice::transport::tcp {

/// Stream: a socket, or a TlsStream whose handshake has ended well.
/// Threads: the loop's. Kept alive by its running operations.
template <typename Stream>
class TcpConnection : public std::enable_shared_from_this<TcpConnection<Stream>> {
 public:
  /// `proven_names`: what the peer may call itself, under TLS.
  TcpConnection(Stream stream, const TcpOptions& options, std::vector<std::string> proven_names);
  /// Errors: kIo when the system refuses an option.
  Result<void> set_up();

  void start(FrameSink& sink);
  Result<void> send(OutgoingFrame frame);
  void drop(RequestId request);
  Bytes queued() const { return queue_.bytes(); }
  void close(Error error);
  bool vouches_for(std::string_view name) const;

 private:
  static constexpr std::size_t kBatchFrames = 8;
  static constexpr Duration kFlushTime = std::chrono::milliseconds(200);

  // Writing.
  void kick_write();
  void fill_batch();
  void take_next();
  void write_more();
  void wrote(const boost::system::error_code& error, std::size_t size);
  void settle_batch(Result<void> outcome);

  // Reading.
  void read_more();
  void read(const boost::system::error_code& error, std::size_t size);
  void took_payload();
  bool took_header();
  bool speaks_tls() const;

  // Ending.
  void break_off();
  void finish_if_idle();

  Stream stream_;
  asio::steady_timer flush_timer_;
  TcpOptions options_;
  std::vector<std::string> proven_names_;
  FrameSink* sink_ = nullptr;

  SendQueue queue_;
  std::vector<OutgoingFrame> batch_;
  std::array<FrameBytes, kBatchFrames> batch_headers_{};
  std::vector<asio::const_buffer> batch_buffers_;
  std::size_t batch_at_ = 0;  // first buffer not wholly written
  bool writing_ = false;
  bool data_went_last_ = false;

  FrameBytes header_bytes_{};
  std::size_t header_have_ = 0;
  std::optional<FrameHeader> header_;  // of the payload that is being read
  std::span<std::byte> target_;        // empty = drop it
  std::size_t payload_have_ = 0;
  std::vector<std::byte> scratch_;
  bool reading_ = false;

  bool closing_ = false;
  bool broken_ = false;
  bool finished_ = false;
  Error error_;
};

}  // namespace sluice::transport::tcp
