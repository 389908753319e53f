#include "integration/bench/peer_program.h"

#include <array>
#include <sstream>

#include "integration/child_process.h"
#include "transport/asio.h"

namespace sluice::integration::bench {
namespace {

namespace asio = transport::asio;
using Tcp = asio::ip::tcp;

constexpr Duration kStart = std::chrono::seconds(60);
constexpr Duration kAnswer = std::chrono::seconds(30);
constexpr std::array<const char*, 3> kWords = {"fragments\n", "chunks\n", "round_trip\n"};
constexpr std::size_t kMostLine = 4096;

class LinePeer final : public PeerProgram {
 public:
  Result<void> start(std::vector<std::string> command, const std::string& log) {
    boost::system::error_code error;
    Tcp::acceptor acceptor(loop_);
    const Tcp::endpoint loopback(asio::ip::address_v4::loopback(), 0);
    acceptor.open(loopback.protocol(), error);
    if (!error) acceptor.bind(loopback, error);
    if (!error) acceptor.listen(1, error);
    if (error) return transport::from_asio(error, "listener for a peer program");
    command.push_back(std::to_string(acceptor.local_endpoint().port()));
    SLUICE_ASSIGN(child_, ChildProcess::start(command, log));
    bool accepted = false;
    acceptor.async_accept(socket_, [&](const boost::system::error_code& failed) { accepted = !failed; });
    SLUICE_TRY(turn_until([&] { return accepted; }, kStart));
    SLUICE_ASSIGN(const std::string line, read_line(kStart));
    if (line.rfind("ready ", 0) != 0) return Error{ErrorCode::kUnsupported, 0, "peer program"};
    name_ = line.substr(6);
    return {};
  }
  const std::string& name() const override { return name_; }

  // "WALL_NS CPU_NS TRIP_NS RIGHT" or "error TEXT".
  Result<Took> measure(Shape shape) override {
    const std::string word = kWords.at(static_cast<std::size_t>(shape));
    boost::system::error_code error;
    asio::write(socket_, asio::buffer(word), error);
    if (error) return transport::from_asio(error, "peer program");
    SLUICE_ASSIGN(const std::string line, read_line(kAnswer));
    std::istringstream fields(line);
    std::int64_t wall = 0;
    std::int64_t cpu = 0;
    std::int64_t trip = 0;
    int right = 0;
    if (!(fields >> wall >> cpu >> trip >> right)) return Error{ErrorCode::kUnsupported, 0, "shape of a peer program"};
    return Took{Duration(wall), Duration(cpu), Duration(trip), right == 1};
  }

 private:
  Result<void> turn_until(const std::function<bool()>& done, Duration limit) {
    const MonotonicClock clock;
    const Instant until = clock.now() + limit;
    loop_.restart();
    while (!done()) {
      if (!child_.is_running()) return Error{ErrorCode::kPeerLost, 0, "peer program"};
      if (clock.now() >= until) return Error{ErrorCode::kDeadlineMissed, 0, "peer program"};
      loop_.run_one_for(std::chrono::milliseconds(50));
      loop_.restart();
    }
    return {};
  }
  Result<std::string> read_line(Duration limit) {
    bool waiting = false;
    bool failed = false;
    const auto has_line = [&] {
      if (received_.find('\n') != std::string::npos || failed || received_.size() > kMostLine) return true;
      if (!waiting) {
        waiting = true;
        socket_.async_read_some(asio::buffer(some_), [&](const boost::system::error_code& error, std::size_t size) {
          waiting = false;
          failed = static_cast<bool>(error);
          received_.append(some_.data(), size);
        });
      }
      return false;
    };
    const Result<void> turned = turn_until(has_line, limit);
    const std::size_t end = received_.find('\n');
    if (waiting) {
      socket_.cancel();
      loop_.restart();
      loop_.run();
    }
    if (!turned) return turned.error();
    if (end == std::string::npos) return Error{ErrorCode::kPeerLost, 0, "peer program"};
    std::string line = received_.substr(0, end);
    received_.erase(0, end + 1);
    return line;
  }

  asio::io_context loop_;
  Tcp::socket socket_{loop_};
  ChildProcess child_;
  std::string name_;
  std::string received_;
  std::array<char, 512> some_{};
};

}  // namespace

Result<std::unique_ptr<PeerProgram>> PeerProgram::start(std::vector<std::string> command, const std::string& log) {
  auto peer = std::make_unique<LinePeer>();
  SLUICE_TRY(peer->start(std::move(command), log));
  return std::unique_ptr<PeerProgram>(std::move(peer));
}

}  // namespace sluice::integration::bench
