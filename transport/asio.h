// The only door to Boost.Asio (1.74). Everything that waits for the network or a timer in transport comes through here,
// so that the quirks of one version are known in one place: <utility> must come first for its coroutines, and clang
// needs to be told that it has them. Errors of Asio become ours here, once.
#pragma once

#include <utility>

#if defined(__clang__) && !defined(BOOST_ASIO_HAS_CO_AWAIT)
#define BOOST_ASIO_HAS_CO_AWAIT 1
#define BOOST_ASIO_HAS_STD_COROUTINE 1
#endif

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wshadow"
#include <boost/asio/buffer.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#pragma GCC diagnostic pop

#include "base/error.h"

namespace sluice::transport {

namespace asio = boost::asio;

/// Our code for a failure of Asio; `native` keeps the errno.
/// Threads: pure.
inline Error from_asio(const boost::system::error_code& error, const char* where) {
  ErrorCode code = ErrorCode::kIo;
  if (error == asio::error::eof || error == asio::error::connection_reset || error == asio::error::broken_pipe ||
      error == asio::error::timed_out || error == asio::error::connection_aborted) {
    code = ErrorCode::kPeerLost;
  } else if (error == asio::error::connection_refused || error == asio::error::host_unreachable ||
             error == asio::error::network_unreachable || error == asio::error::host_not_found ||
             error == asio::error::host_not_found_try_again) {
    code = ErrorCode::kUnreachable;
  } else if (error == asio::error::operation_aborted) {
    code = ErrorCode::kAborted;
  } else if (error == asio::error::no_memory || error == asio::error::no_buffer_space) {
    code = ErrorCode::kNoMemory;
  }
  return Error{code, error.value(), where};
}

}  // namespace sluice::transport
