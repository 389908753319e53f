#include "integration/demo/daemon_client.h"

#include <gtest/gtest.h>

#include <thread>

#include "transport/asio.h"

namespace sluice::integration::demo {
namespace {

namespace asio = transport::asio;
using Tcp = asio::ip::tcp;

/// Takes one connection, reads until the empty line, sends `reply`, closes.
class OneAnswer {
 public:
  explicit OneAnswer(std::string reply)
      : acceptor_(loop_, Tcp::endpoint(asio::ip::address_v4::loopback(), 0)), thread_([this, reply = std::move(reply)] {
          Tcp::socket socket(loop_);
          acceptor_.accept(socket);
          std::string request;
          char buffer[1024];
          while (request.find("\r\n\r\n") == std::string::npos) {
            request.append(buffer, socket.read_some(asio::buffer(buffer)));
          }
          asio::write(socket, asio::buffer(reply));
        }) {}
  ~OneAnswer() { thread_.join(); }
  std::string address() const { return "127.0.0.1:" + std::to_string(acceptor_.local_endpoint().port()); }

 private:
  asio::io_context loop_;
  Tcp::acceptor acceptor_;
  std::thread thread_;
};

Result<std::string> answer_to(const std::string& reply) {
  const OneAnswer server(reply);
  return ask_daemon({.address = server.address(), .path = "/x"});
}

TEST(Client, GivesTheBodyPlainOrChunked) {
  EXPECT_EQ(answer_to("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").value(), "ok");
  EXPECT_EQ(answer_to("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n3\r\nyes\r\n0\r\n\r\n").value(),
            "okyes");
}

TEST(Client, TellsRefusalsAndNonsense) {
  EXPECT_EQ(answer_to("HTTP/1.1 503 Busy\r\n\r\nlater").error().native, 503);
  EXPECT_EQ(answer_to("HTTP/1.1 400 Bad\r\n\r\n{\"error\":\"x\"}").value(), "{\"error\":\"x\"}");
  for (const char* reply :
       {"", "nonsense", "HTTP/1.1 abc\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nx"}) {
    EXPECT_EQ(answer_to(reply).error().code, ErrorCode::kBadField) << reply;
  }
}

TEST(Client, AStopEndsTheWait) {
  std::stop_source stopped;
  stopped.request_stop();
  asio::io_context loop;
  const Tcp::acceptor silent(loop, Tcp::endpoint(asio::ip::address_v4::loopback(), 0));
  const std::string address = "127.0.0.1:" + std::to_string(silent.local_endpoint().port());
  EXPECT_EQ(ask_daemon({.address = address, .path = "/", .stop = stopped.get_token()}).error().code,
            ErrorCode::kAborted);
  EXPECT_EQ(ask_daemon({.address = address, .path = "/", .limit = std::chrono::milliseconds(1)}).error().code,
            ErrorCode::kPeerSilent);
}

}  // namespace
}  // namespace sluice::integration::demo
