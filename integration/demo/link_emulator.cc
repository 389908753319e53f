#include "integration/demo/link_emulator.h"

#include <fmt/format.h>
#include <unistd.h>
#include <csignal>

#include <algorithm>
#include <cerrno>
#include <charconv>

#include "integration/child_process.h"
#include "integration/demo/forwarder.h"

namespace sluice::integration::demo {

namespace {

constexpr std::string_view kNamespacePrefix = "sluice-demo-";
constexpr int kDataPort = 7411;
constexpr int kAdminPort = 7412;

/// Two free ports of the loopback, by asking for them and letting them go.
Result<std::uint16_t> free_port() {
  transport::asio::io_context loop;
  boost::system::error_code error;
  transport::asio::ip::tcp::acceptor acceptor(loop);
  acceptor.open(transport::asio::ip::tcp::v4(), error);
  if (!error) acceptor.bind({transport::asio::ip::address_v4::loopback(), 0}, error);
  if (error) return transport::from_asio(error, "free port");
  return acceptor.local_endpoint().port();
}

std::string loopback(std::uint16_t port) { return fmt::format("127.0.0.1:{}", port); }

/// Removes namespaces of demos whose process is gone.
void remove_leftovers(const std::filesystem::path& log) {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/run/netns", ignored)) {
    const std::string name = entry.path().filename();
    if (!name.starts_with(kNamespacePrefix)) continue;
    pid_t pid = 0;
    std::from_chars(name.data() + kNamespacePrefix.size(), name.data() + name.size(), pid);
    if (pid > 0 && kill(pid, 0) != 0 && errno == ESRCH) (void)run_program({"ip", "netns", "del", name}, log);
  }
}

/// Namespaces P and D, joined by a shaped veth pair; each has a second pair to the demo for its API, not shaped.
class NamespaceLink final : public LinkEmulator {
 public:
  explicit NamespaceLink(const LinkOptions& options)
      : log_(options.folder / "link.log"),
        name_(fmt::format("{}{}", kNamespacePrefix, getpid())),
        // 198.18.0.0/15 is set aside for tests of networks; the process number keeps two demos apart.
        net_(fmt::format("198.18.{}.", getpid() % 256)),
        rtt_(options.rtt) {}
  ~NamespaceLink() override {
    for (const char* side : {"-p", "-d"}) (void)run_program({"ip", "netns", "del", name_ + side}, log_);
  }

  Result<void> open() {
    remove_leftovers(log_);
    const std::string tag = fmt::format("sl{}", getpid() % 1'000'000);
    for (const std::string side : {"p", "d"}) {
      const std::string space = name_ + "-" + side;
      const int base = side == "p" ? 4 : 8;
      SLUICE_TRY(ip("netns add " + space));
      SLUICE_TRY(ip(fmt::format("link add {}a{} type veth peer name admin netns {}", tag, side, space)));
      SLUICE_TRY(ip(fmt::format("addr add {}{}/30 dev {}a{}", net_, base + 1, tag, side)));
      SLUICE_TRY(ip(fmt::format("link set {}a{} up", tag, side)));
      SLUICE_TRY(ip(fmt::format("-n {} addr add {}{}/30 dev admin", space, net_, base + 2)));
      SLUICE_TRY(ip(fmt::format("-n {} link set admin up", space)));
      SLUICE_TRY(ip(fmt::format("-n {} link set lo up", space)));
    }
    SLUICE_TRY(ip(fmt::format("-n {0}-p link add data type veth peer name data netns {0}-d", name_)));
    for (const std::string side : {"p", "d"}) {
      SLUICE_TRY(ip(fmt::format("-n {}-{} addr add {}{}/30 dev data", name_, side, net_, side == "p" ? 1 : 2)));
      SLUICE_TRY(ip(fmt::format("-n {}-{} link set data up", name_, side)));
    }
    return shape(BitsPerSecond(50'000'000));  // shows whether the kernel can shape at all
  }

  Result<void> shape(BitsPerSecond rate) override {
    for (const char* side : {"-p", "-d"}) {
      const std::vector<std::string> tc = {"tc", "-n", name_ + side, "qdisc"};
      (void)run_program(joined(tc, {"del", "dev", "data", "root"}), log_);
      if (rate.is_zero()) continue;
      // The bucket holds 2 ms of the rate (at least a few packets): small against every transfer that is measured.
      const std::uint64_t burst =
          std::max<std::uint64_t>(16'384, sent_within(std::chrono::milliseconds(2), rate).count());
      SLUICE_TRY(run_program(
          joined(tc, {"add", "dev", "data", "root", "handle", "1:", "tbf", "rate", fmt::format("{}bit", rate.count()),
                      "burst", fmt::format("{}", burst), "latency", "50ms"}),
          log_));
      if (rtt_.count() == 0) continue;
      SLUICE_TRY(run_program(joined(tc, {"add", "dev", "data", "parent", "1:", "netem", "limit", "100000", "delay",
                                         fmt::format("{}us", rtt_ / std::chrono::microseconds(2))}),
                             log_));
    }
    return {};
  }

  DaemonPlace prefill() const override { return place("-p", 1, 6); }
  DaemonPlace decode() const override { return place("-d", 2, 10); }
  std::string prefill_over_link() const override { return fmt::format("{}1:{}", net_, kDataPort); }
  std::string description() const override {
    const std::string delay =
        rtt_.count() == 0 ? "no extra delay" : fmt::format("RTT {} ms", rtt_ / std::chrono::milliseconds(1));
    return "two network namespaces joined by a veth pair, shaped by tc tbf in both directions, " + delay;
  }

 private:
  static std::vector<std::string> joined(std::vector<std::string> left, const std::vector<std::string>& right) {
    left.insert(left.end(), right.begin(), right.end());
    return left;
  }

  Result<void> ip(const std::string& words) {
    std::vector<std::string> arguments = {"ip"};
    for (std::size_t at = 0; at < words.size();) {
      const std::size_t end = std::min(words.find(' ', at), words.size());
      arguments.push_back(words.substr(at, end - at));
      at = end + 1;
    }
    return run_program(arguments, log_);
  }

  DaemonPlace place(const char* side, int data, int admin) const {
    return {.launch = {"ip", "netns", "exec", name_ + side},
            .data_listen = fmt::format("{}{}:{}", net_, data, kDataPort),
            .admin_listen = fmt::format("{}{}:{}", net_, admin, kAdminPort)};
  }

  std::filesystem::path log_;
  std::string name_;
  std::string net_;
  Duration rtt_;
};

/// A forwarder process between two daemons on the loopback; a new one for each rate.
class ForwarderLink final : public LinkEmulator {
 public:
  explicit ForwarderLink(const LinkOptions& options) : options_(options) {}

  Result<void> open() {
    for (std::uint16_t* port : {&prefill_data_, &prefill_admin_, &decode_data_, &decode_admin_, &link_}) {
      SLUICE_ASSIGN(*port, free_port());
    }
    return shape(BitsPerSecond(0));
  }

  Result<void> shape(BitsPerSecond rate) override {
    forwarder_.stop(std::chrono::seconds(1));
    std::vector<std::string> command = {options_.self,   "link", "--listen",
                                        loopback(link_), "--to", loopback(prefill_data_)};
    if (!rate.is_zero()) command.insert(command.end(), {"--rate", fmt::format("{}bit", rate.count())});
    if (options_.rtt.count() > 0) {
      command.insert(command.end(), {"--delay", fmt::format("{}us", options_.rtt / std::chrono::microseconds(2))});
    }
    SLUICE_ASSIGN(forwarder_, ChildProcess::start(command, options_.folder / "link.log"));
    return {};
  }

  DaemonPlace prefill() const override { return {{}, loopback(prefill_data_), loopback(prefill_admin_)}; }
  DaemonPlace decode() const override { return {{}, loopback(decode_data_), loopback(decode_admin_)}; }
  std::string prefill_over_link() const override { return loopback(link_); }
  std::string description() const override {
    const auto rtt = options_.rtt / std::chrono::milliseconds(1);
    return fmt::format("a token-bucket forwarder in user space between loopback ports{}",
                       rtt > 0 ? fmt::format(", RTT {} ms", rtt) : std::string(", no extra delay"));
  }

 private:
  LinkOptions options_;
  std::uint16_t prefill_data_ = 0;
  std::uint16_t prefill_admin_ = 0;
  std::uint16_t decode_data_ = 0;
  std::uint16_t decode_admin_ = 0;
  std::uint16_t link_ = 0;
  ChildProcess forwarder_;
};

}  // namespace

Result<std::unique_ptr<LinkEmulator>> open_link(const LinkOptions& options) {
  if (options.kind != "auto" && options.kind != "namespaces" && options.kind != "forwarder") {
    return Error{ErrorCode::kInvalidArgument, 0, "kind of link"};
  }
  if (options.kind != "forwarder" && geteuid() == 0 && has_program("ip") && has_program("tc")) {
    auto link = std::make_unique<NamespaceLink>(options);
    if (link->open()) return std::unique_ptr<LinkEmulator>(std::move(link));
  }
  if (options.kind == "namespaces") return Error{ErrorCode::kUnsupported, 0, "network namespaces"};
  auto link = std::make_unique<ForwarderLink>(options);
  SLUICE_TRY(link->open());
  return std::unique_ptr<LinkEmulator>(std::move(link));
}

}  // namespace sluice::integration::demo
