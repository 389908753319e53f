// A link in user space: takes connections, passes their bytes on to another address at a stated rate and delay, and can
// do harm on demand (flip a byte, stall), which is what fault tests use it for.
// Invariants: each direction has one token bucket that all connections share, as a wire would; what is held is bounded,
// so a slow link pushes back on the sender instead of growing; bytes of a connection stay in order.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/quantity.h"
#include "base/result.h"
#include "transport/asio.h"

namespace sluice::integration::demo {

/// What the link is like.
struct ForwarderOptions {
  std::string listen;                ///< host:port; port 0 chooses one
  std::string target;                ///< host:port
  BitsPerSecond rate;                ///< of each direction; zero: not shaped
  Duration delay{0};                 ///< one way
  std::optional<Bytes> flip_after;   ///< towards the listening side: flips a bit of the byte after so many, once
  std::optional<Bytes> stall_after;  ///< towards the listening side: passes nothing on after so many
};

/// Threads: that of the io_context, which must outlive it.
class Forwarder {
 public:
  /// Listens. Errors: kInvalidArgument (an address is not host:port with numbers), kIo, kUnreachable.
  static Result<std::unique_ptr<Forwarder>> open(transport::asio::io_context& loop, const ForwarderOptions& options);
  ~Forwarder();
  Forwarder(const Forwarder&) = delete;
  Forwarder& operator=(const Forwarder&) = delete;

  /// The port it listens on.
  std::uint16_t port() const;

 private:
  struct State;
  explicit Forwarder(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

/// Reads "127.0.0.1:7411" or "[::1]:7411".
/// Errors:  kInvalidArgument.  Threads: pure.
Result<transport::asio::ip::tcp::endpoint> numeric_endpoint(const std::string& text);

}  // namespace sluice::integration::demo
