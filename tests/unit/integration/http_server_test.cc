// Laws of the admin port's server: one answer per request, bounds on what a client may cost, no harm from bad bytes.
#include "integration/http_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "integration/beast.h"

namespace sluice::integration {
namespace {

using Socket = asio::ip::tcp::socket;
constexpr auto kPatience = std::chrono::seconds(5);

class HttpServerTest : public testing::Test {
 protected:
  void open(const HttpServerOptions& options) {
    auto opened =
        HttpServer::open(loop_, {"127.0.0.1", 0}, options, [this](const HttpRequest& request, HttpRespond respond) {
          seen_.push_back(request);
          if (request.target == "/later") {
            later_ = std::move(respond);
          } else {
            respond(
                {200, "text/plain", request.method + " " + request.target + " " + std::to_string(request.body.size())});
          }
        });
    ASSERT_TRUE(opened.has_value());
    server_ = std::move(opened).value();
  }

  /// Connects on the server's own loop, so that one thread runs both sides.
  std::unique_ptr<Socket> connect() {
    auto socket = std::make_unique<Socket>(loop_);
    const Address address = *parse_address(server_->listen_address());
    socket->connect({asio::ip::make_address(address.host), address.port});
    loop_.poll();
    return socket;
  }

  /// Runs the loop until `socket` has `enough` in what it received, or was closed.
  std::string receive(Socket& socket, const std::string& enough) {
    std::string all;
    bool ended = false;
    std::array<char, 4096> piece{};
    std::function<void()> more = [&] {
      socket.async_read_some(asio::buffer(piece), [&](const auto& failure, std::size_t count) {
        all.append(piece.data(), count);
        ended = static_cast<bool>(failure) || (!enough.empty() && all.find(enough) != std::string::npos);
        if (!ended) more();
      });
    };
    more();
    const auto until = std::chrono::steady_clock::now() + kPatience;
    while (!ended && std::chrono::steady_clock::now() < until) loop_.run_one_for(std::chrono::milliseconds(50));
    EXPECT_TRUE(ended);
    socket.cancel();
    loop_.poll();
    return all;
  }

  static void send(Socket& socket, const std::string& bytes) {
    boost::system::error_code ignored;
    asio::write(socket, asio::buffer(bytes), ignored);
  }

  void TearDown() override {
    if (server_) server_->close();
    later_ = nullptr;
    loop_.poll();
  }

  asio::io_context loop_;
  std::unique_ptr<HttpServer> server_;
  std::vector<HttpRequest> seen_;
  HttpRespond later_;
};

TEST_F(HttpServerTest, AnswersAndKeepsTheConnection) {
  open({});
  const auto client = connect();
  send(*client, "GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(receive(*client, "GET /a 0"), testing::HasSubstr("200 OK"));
  send(*client, "POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
  EXPECT_THAT(receive(*client, "POST /b 3"), testing::HasSubstr("200 OK"));
}

TEST_F(HttpServerTest, AnswersPipelinedRequestsInOrder) {
  open({});
  const auto client = connect();
  send(*client, "GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\n");
  const std::string all = receive(*client, "GET /2 0");
  EXPECT_LT(all.find("GET /1 0"), all.find("GET /2 0"));
}

TEST_F(HttpServerTest, HandlerMayAnswerLaterAndOnlyOnce) {
  open({});
  const auto client = connect();
  send(*client, "GET /later HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  while (!later_) loop_.run_one_for(std::chrono::milliseconds(50));
  later_({200, "text/plain", "first"});
  later_({200, "text/plain", "second"});
  const std::string all = receive(*client, "");
  EXPECT_THAT(all, testing::HasSubstr("first"));
  EXPECT_THAT(all, testing::Not(testing::HasSubstr("second")));
}

TEST_F(HttpServerTest, AnswerAfterTheClientLeftIsHarmless) {
  open({});
  auto client = connect();
  send(*client, "GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
  while (!later_) loop_.run_one_for(std::chrono::milliseconds(50));
  client->close();
  later_({200, "text/plain", std::string(1U << 20U, 'x')});
  later_ = nullptr;
  const auto until = std::chrono::steady_clock::now() + kPatience;
  while (server_->connections() > 0 && std::chrono::steady_clock::now() < until) {
    loop_.run_one_for(std::chrono::milliseconds(50));
  }
  EXPECT_EQ(server_->connections(), 0U);
}

TEST_F(HttpServerTest, HandlerThatNeverAnswersIsAnsweredFor) {
  HttpServerOptions options;
  options.response_timeout = std::chrono::milliseconds(20);
  open(options);
  const auto client = connect();
  send(*client, "GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(receive(*client, "in time"), testing::HasSubstr("504"));
}

TEST_F(HttpServerTest, RefusesOneConnectionTooMany) {
  HttpServerOptions options;
  options.max_connections = 2;
  open(options);
  const auto first = connect();
  const auto second = connect();
  const auto third = connect();
  EXPECT_THAT(receive(*third, ""), testing::HasSubstr("503"));
  EXPECT_EQ(server_->connections(), 2U);
}

TEST_F(HttpServerTest, RefusesTooLargeBodyBeforeItIsSent) {
  HttpServerOptions options;
  options.max_body = Bytes(100);
  open(options);
  const auto client = connect();
  send(*client, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 101\r\n\r\n");
  EXPECT_THAT(receive(*client, ""), testing::HasSubstr("413"));
  EXPECT_TRUE(seen_.empty());
}

TEST_F(HttpServerTest, RefusesTooLargeHeader) {
  open({});
  const auto client = connect();
  send(*client, "GET / HTTP/1.1\r\nHost: x\r\nA: " + std::string(16384, 'a') + "\r\n\r\n");
  EXPECT_THAT(receive(*client, ""), testing::HasSubstr("431"));
}

TEST_F(HttpServerTest, SlowClientIsDropped) {
  HttpServerOptions options;
  options.transfer_timeout = std::chrono::milliseconds(20);
  open(options);
  const auto client = connect();
  send(*client, "GET / HT");
  EXPECT_EQ(receive(*client, ""), "");
  EXPECT_EQ(server_->connections(), 0U);
}

TEST_F(HttpServerTest, SurvivesMalformedRequests) {
  open({});
  for (const char* bytes :
       {"\r\n\r\n\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "\x16\x03\x01\x02 tls hello \r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "GET / HTTP/1.1\r\nno colon\r\n\r\n"}) {
    const auto client = connect();
    send(*client, bytes);
    client->shutdown(Socket::shutdown_send);
    const std::string all = receive(*client, "");
    EXPECT_TRUE(all.empty() || all.find(" 400 ") != std::string::npos) << bytes << " -> " << all;
  }
  EXPECT_TRUE(seen_.empty());
  const auto client = connect();
  send(*client, "GET /alive HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(receive(*client, "/alive 0"), testing::HasSubstr("200 OK"));
}

TEST_F(HttpServerTest, PortInUseIsTold) {
  open({});
  const auto again = HttpServer::open(loop_, *parse_address(server_->listen_address()), {}, {});
  ASSERT_FALSE(again.has_value());
  EXPECT_EQ(again.error().code, ErrorCode::kAlreadyExists);
}

}  // namespace
}  // namespace sluice::integration
