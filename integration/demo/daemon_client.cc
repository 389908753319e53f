#include "integration/demo/daemon_client.h"

#include <fmt/format.h>

#include <array>
#include <charconv>

#include "integration/demo/forwarder.h"
#include "transport/asio.h"

namespace sluice::integration::demo {

namespace {

namespace asio = transport::asio;

/// One call: connects, sends, reads to the end (the request asks the daemon to close).
class Call {
 public:
  explicit Call(const DaemonCall& call)
      : request_(fmt::format("{} {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: application/json\r\n"
                             "Content-Length: {}\r\n\r\n{}",
                             call.method, call.path, call.address, call.body.size(), call.body)) {}

  Result<std::string> run(const asio::ip::tcp::endpoint& daemon, Duration limit, const std::stop_token& stop) {
    const std::stop_callback stopped(stop, [this] { loop_.stop(); });
    socket_.async_connect(daemon, [this](const auto& error) { connected(error); });
    if (!stop.stop_requested()) loop_.run_for(limit);
    if (!ended_ && stop.stop_requested()) return Error{ErrorCode::kAborted, 0, "daemon's admin port"};
    if (!ended_) return Error{ErrorCode::kPeerSilent, 0, "daemon's admin port"};
    if (error_ && error_ != asio::error::eof) return transport::from_asio(error_, "daemon's admin port");
    return std::move(answer_);
  }

 private:
  void connected(const boost::system::error_code& error) {
    if (error) return end(error);
    asio::async_write(socket_, asio::buffer(request_), [this](const auto& failure, std::size_t) {
      if (failure) return end(failure);
      read();
    });
  }

  void read() {
    socket_.async_read_some(asio::buffer(buffer_), [this](const auto& error, std::size_t size) {
      answer_.append(buffer_.data(), size);
      if (error) return end(error);
      read();
    });
  }

  void end(const boost::system::error_code& error) {
    error_ = error;
    ended_ = true;
  }

  asio::io_context loop_;
  asio::ip::tcp::socket socket_{loop_};
  std::string request_;
  std::array<char, 16384> buffer_{};
  std::string answer_;
  boost::system::error_code error_;
  bool ended_ = false;
};

/// Puts a chunked body together.
Result<std::string> unchunk(std::string_view rest) {
  const Error bad{ErrorCode::kBadField, 0, "chunked answer"};
  std::string body;
  while (true) {
    const std::size_t line = rest.find("\r\n");
    if (line == std::string_view::npos) return bad;
    std::size_t size = 0;
    if (std::from_chars(rest.data(), rest.data() + line, size, 16).ec != std::errc{}) return bad;
    if (size == 0) return body;
    rest.remove_prefix(line + 2);
    if (rest.size() < 2 || size > rest.size() - 2) return bad;
    body.append(rest.substr(0, size));
    rest.remove_prefix(size + 2);
  }
}

Result<std::string> body_of(const std::string& answer) {
  const Error bad{ErrorCode::kBadField, 0, "daemon's answer"};
  const std::size_t end = answer.find("\r\n\r\n");
  if (!answer.starts_with("HTTP/1.") || end == std::string::npos || answer.size() < 12) return bad;
  int status = 0;
  if (std::from_chars(answer.data() + 9, answer.data() + 12, status).ec != std::errc{}) return bad;
  const std::string_view head = std::string_view(answer).substr(0, end);
  const bool chunked = head.find("hunked") != std::string_view::npos;
  SLUICE_ASSIGN(std::string body, chunked ? unchunk(std::string_view(answer).substr(end + 4))
                                          : Result<std::string>(answer.substr(end + 4)));
  // A failed request is an answer too: its body says why.
  if (status / 100 != 2 && !body.starts_with('{')) return Error{ErrorCode::kRejected, status, "daemon's answer"};
  return body;
}

}  // namespace

Result<std::string> ask_daemon(const DaemonCall& call) {
  SLUICE_ASSIGN(const asio::ip::tcp::endpoint daemon, parse_address(call.address));
  Call running(call);
  SLUICE_ASSIGN(const std::string answer, running.run(daemon, call.limit, call.stop));
  return body_of(answer);
}

}  // namespace sluice::integration::demo
