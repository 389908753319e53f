#include "integration/demo/forwarder.h"

#include <gtest/gtest.h>

#include <string>

namespace sluice::integration::demo {
namespace {

namespace asio = transport::asio;
using Tcp = asio::ip::tcp;

/// A server that sends `message` to whoever connects, then ends; what a client got of it through the forwarder.
class Link : public testing::Test {
 protected:
  std::string through(const std::string& message, ForwarderOptions options, std::size_t wanted) {
    asio::io_context loop;
    ended_ = false;
    Tcp::acceptor server(loop, Tcp::endpoint(asio::ip::address_v4::loopback(), 0));
    Tcp::socket served(loop);
    server.async_accept(served, [&](const auto& error) {
      if (error) return;
      asio::async_write(served, asio::buffer(message), [&](const auto&, std::size_t) {
        boost::system::error_code ignored;
        served.shutdown(Tcp::socket::shutdown_send, ignored);
      });
    });
    options.listen = "127.0.0.1:0";
    options.target = "127.0.0.1:" + std::to_string(server.local_endpoint().port());
    const Result<std::unique_ptr<Forwarder>> forwarder = Forwarder::open(loop, options);
    EXPECT_TRUE(forwarder);
    Tcp::socket client(loop);
    client.connect(Tcp::endpoint(asio::ip::address_v4::loopback(), (*forwarder)->port()));
    std::string got(message.size() + 1, '\0');
    std::size_t size = 0;
    read(client, got, size);
    while (size < wanted && !ended_) loop.run_one();
    got.resize(size);
    return got;
  }

  void read(Tcp::socket& client, std::string& got, std::size_t& size) {
    client.async_read_some(asio::buffer(got.data() + size, got.size() - size),
                           [&](const auto& error, std::size_t more) {
                             size += more;
                             ended_ = bool(error);
                             if (!error && size < got.size()) read(client, got, size);
                           });
  }

  bool ended_ = false;
};

std::string pattern(std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t at = 0; at < size; ++at) text[at] = static_cast<char>(at * 7 + at / 251);
  return text;
}

TEST_F(Link, PassesBytesInOrderAtAnyRate) {
  for (const std::uint64_t rate : {0ULL, 100'000'000ULL, 1'000'000'000ULL}) {
    const std::string message = pattern(300'001);
    EXPECT_TRUE(through(message, {.rate = BitsPerSecond(rate)}, message.size()) == message) << rate;
  }
}

TEST_F(Link, PassesBytesInOrderWithDelay) {
  const std::string message = pattern(50'000);
  EXPECT_TRUE(through(message, {.delay = std::chrono::milliseconds(3)}, message.size()) == message);
}

TEST_F(Link, FlipsOneBitOfOneByte) {
  const std::string message = pattern(70'000);
  std::string wanted = message;
  wanted[40'000] = static_cast<char>(wanted[40'000] ^ 0x10);
  EXPECT_TRUE(through(message, {.flip_after = Bytes(40'000)}, message.size()) == wanted);
}

TEST_F(Link, StallsAfterSoManyBytes) {
  const std::string got = through(pattern(400'000), {.stall_after = Bytes(30'000)}, 30'000);
  EXPECT_GE(got.size(), 30'000U);
  EXPECT_LT(got.size(), 400'000U);
}

TEST(Address, IsHostAndPortInNumbers) {
  EXPECT_TRUE(numeric_endpoint("127.0.0.1:7411"));
  EXPECT_TRUE(numeric_endpoint("[::1]:7411"));
  for (const char* text :
       {"", "7411", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:70000", "host:1", "127.0.0.1:1x"}) {
    EXPECT_FALSE(numeric_endpoint(text)) << text;
  }
}

TEST(Open, RefusesAnAddressThatIsTaken) {
  asio::io_context loop;
  const Tcp::acceptor taken(loop, Tcp::endpoint(asio::ip::address_v4::loopback(), 0));
  const std::string address = "127.0.0.1:" + std::to_string(taken.local_endpoint().port());
  EXPECT_FALSE(Forwarder::open(loop, {.listen = address, .target = address}));
}

}  // namespace
}  // namespace sluice::integration::demo
