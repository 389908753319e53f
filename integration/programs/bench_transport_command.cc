// `sluice bench transport`: the product's fabrics between two real processes on this host, against a copy, a bare ring,
// plain sockets, and other projects' programs where given, all in one run. Loopback, no RDMA.
#include <fmt/format.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <thread>

#include "integration/bench/contest.h"
#include "integration/bench/peer_program.h"
#include "integration/bench/raw_pair.h"
#include "integration/bench/transport_pair.h"
#include "integration/child_process.h"
#include "integration/programs/command_line.h"

namespace sluice::programs {
namespace {

using integration::ChildProcess;
using integration::DataChoice;
using integration::DataFabricOptions;
using integration::bench::Contestant;
using integration::bench::Row;
using integration::bench::Shape;
using nlohmann::json;

constexpr Duration kSpin = std::chrono::microseconds(50);
constexpr Duration kStart = std::chrono::seconds(20);
constexpr Duration kIdle = std::chrono::seconds(3);
const std::vector<Shape> kAllShapes = {Shape::kFragments, Shape::kChunks, Shape::kRoundTrip};

struct TransportBenchArguments {
  integration::bench::ContestOptions contest;
  std::vector<std::string> transports;
  std::vector<std::string> peers;
};

std::optional<DataFabricOptions> fabric_of(const std::string& name) {
  if (name == "tcp") return DataFabricOptions{DataChoice::kTcp, false, Duration(0)};
  if (name == "ucx") return DataFabricOptions{DataChoice::kUcx, false, Duration(0)};
  if (name == "shm") return DataFabricOptions{DataChoice::kShm, false, Duration(0)};
  if (name == "shm-spinning") return DataFabricOptions{DataChoice::kShm, false, kSpin};
  return std::nullopt;
}

/// The other process of a contestant.
ExitCode serve_bench(const std::string& name) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const auto ready = [](const std::string& address) {
    std::printf("ready %s\n", address.c_str());
    std::fflush(stdout);
  };
  Result<void> served;
  if (name == "sockets" || name == "ring") {
    served = integration::bench::serve_raw(
        name == "ring" ? integration::bench::RawKind::kRing : integration::bench::RawKind::kTcp, ready);
    if (!served && served.error().code == ErrorCode::kPeerLost) return ExitCode::kOk;  // the measuring side is done
  } else if (const auto fabric = fabric_of(name)) {
    served = integration::bench::serve_pool(*fabric, ready);
  } else {
    return fail(ExitCode::kUsage, "bench transport-server: no such transport: " + name);
  }
  return served ? ExitCode::kOk : fail("bench " + name, served.error());
}

/// A folder of this run, gone with it.
class RunFolder {
 public:
  RunFolder() : path_(std::filesystem::temp_directory_path() / fmt::format("sluice-bench-{}", ::getpid())) {
    std::filesystem::create_directories(path_);
  }
  ~RunFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;
  std::string file(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

struct Server {
  ChildProcess process;
  std::string address;
};

Result<Server> start_server(const std::string& name, const RunFolder& folder) {
  const std::string log = folder.file(name + ".log");
  Server server;
  SLUICE_ASSIGN(server.process, ChildProcess::start({"/proc/self/exe", "bench", "transport-server", name}, log));
  const MonotonicClock clock;
  for (const Instant until = clock.now() + kStart; clock.now() < until;) {
    std::ifstream lines(log);
    std::string word;
    if (lines >> word >> server.address && word == "ready") return server;
    if (!server.process.is_running()) return Error{ErrorCode::kUnsupported, 0, "bench server"};
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return Error{ErrorCode::kDeadlineMissed, 0, "bench server"};
}

/// All who take part, and what they stand on.
class Field {
 public:
  ~Field() {
    for (const auto& pair : pairs_) pair->close();
  }

  void add_copy() {
    contestants.push_back({"memcpy", {Shape::kFragments, Shape::kChunks}, [this](Shape shape) {
                             return Result<integration::bench::Took>(copy_.measure(shape));
                           }});
  }
  Result<void> add_raw(const std::string& name, integration::bench::RawKind kind) {
    SLUICE_ASSIGN(Server server, start_server(name, folder_));
    SLUICE_ASSIGN(auto pair, integration::bench::RawPair::open(kind, server.address, server.process.pid()));
    servers_.push_back(std::move(server));
    raw_.push_back(std::move(pair));
    contestants.push_back({name, kAllShapes, [&pair = *raw_.back()](Shape shape) { return pair.measure(shape); }});
    return {};
  }
  Result<void> add_transport(const std::string& name) {
    SLUICE_ASSIGN(Server server, start_server(name, folder_));
    SLUICE_ASSIGN(auto pair, integration::bench::TransportPair::open(loop_, *fabric_of(name), server.address,
                                                                     server.process.pid()));
    servers_.push_back(std::move(server));
    pairs_.push_back(std::move(pair));
    auto& added = *pairs_.back();
    if (name.rfind(added.carried_by(), 0) != 0) return Error{ErrorCode::kTransportFailed, 0, "bench fell back to tcp"};
    contestants.push_back({"sluice " + name, kAllShapes, [&added](Shape shape) { return added.measure(shape); }});
    idle_.push_back(servers_.back().process.pid());
    return {};
  }
  Result<void> add_peer(const std::string& command) {
    std::istringstream text(command);
    std::vector<std::string> words;
    for (std::string word; text >> word;) words.push_back(word);
    if (words.empty()) return Error{ErrorCode::kInvalidArgument, 0, "empty --peer"};
    const std::string log = folder_.file(fmt::format("peer{}.log", peers_.size()));
    auto peer = integration::bench::PeerProgram::start(words, log);
    if (!peer) {
      std::ifstream lines(log);
      std::string last;
      for (std::string line; std::getline(lines, line);) last = line;
      std::fprintf(stderr, "peer \"%s\" does not take part: %s\n", command.c_str(), last.c_str());
      return peer.error();
    }
    peers_.push_back(std::move(*peer));
    auto& added = *peers_.back();
    contestants.push_back({added.name(), kAllShapes, [&added](Shape shape) { return added.measure(shape); }});
    return {};
  }

  /// CPU that the connected, idle pairs of the product take: percent of a core, for each pair, both sides.
  double idle_percent() {
    if (idle_.empty()) return 0.0;
    const auto used = [&] {
      Duration sum = integration::bench::own_cpu();
      for (const int pid : idle_) sum += integration::bench::cpu_of(pid);
      return sum;
    };
    const Duration before = used();
    loop_.restart();
    loop_.run_for(kIdle);
    return 100.0 * std::chrono::duration<double>(used() - before) / kIdle / static_cast<double>(idle_.size());
  }

  std::vector<Contestant> contestants;

 private:
  RunFolder folder_;
  std::vector<Server> servers_;
  std::vector<std::unique_ptr<integration::bench::RawPair>> raw_;
  std::vector<std::unique_ptr<integration::bench::PeerProgram>> peers_;
  std::vector<int> idle_;
  integration::bench::CopyBench copy_;
  transport::asio::io_context loop_{1};
  std::vector<std::unique_ptr<integration::bench::TransportPair>> pairs_;
};

const char* name_of(Shape shape) {
  constexpr std::array<const char*, 3> kNames = {"fragments", "chunks", "round_trip"};
  return kNames.at(static_cast<std::size_t>(shape));
}

json to_json(const std::vector<Row>& rows, double idle_percent, const TransportBenchArguments& arguments) {
  json all = json::array();
  json figures = json::object();
  bool right = true;
  const auto pair = [](const integration::bench::Figure& figure) {
    return json{{"median", figure.median}, {"spread", figure.spread}};
  };
  for (const Row& row : rows) {
    json line = {{"transport", row.contestant}, {"shape", name_of(row.shape)}};
    if (!row.failure.empty()) {
      line["failure"] = row.failure;
      all.push_back(line);
      continue;
    }
    right = right && row.is_right;
    line["right"] = row.is_right;
    line["cpu_seconds_per_gb"] = pair(row.cpu_seconds_per_gigabyte);
    if (row.shape == Shape::kRoundTrip) {
      line["round_trip_us"] = pair(row.trip_us);
    } else {
      line["gb_per_s"] = pair(row.gigabytes_per_second);
    }
    figures[row.contestant][name_of(row.shape)] = line;
    all.push_back(line);
  }
  return {{"link", "loopback, no RDMA"},
          {"cores", std::thread::hardware_concurrency()},
          {"rounds", arguments.contest.rounds},
          {"transfers_per_round", arguments.contest.transfers},
          {"all_bytes_right", right},
          {"idle_cpu_percent_per_pair", idle_percent},
          {"figures", figures},
          {"rows", all}};
}

void print_table(const json& result) {
  std::printf("%-24s %-11s %18s %22s %20s\n", "transport", "shape", "GB/s (spread)", "64 KiB trip us (spread)",
              "CPU s/GB (spread)");
  for (const json& row : result.at("rows")) {
    const std::string transport = row.at("transport");
    const std::string shape = row.at("shape");
    if (row.contains("failure")) {
      std::printf("%-24s %-11s %s\n", transport.c_str(), shape.c_str(), row.at("failure").get<std::string>().c_str());
      continue;
    }
    const auto text = [&](const char* key, int digits) {
      if (!row.contains(key)) return std::string("-");
      return fmt::format("{:.{}f} ({:.{}f})", row.at(key).at("median").get<double>(), digits,
                         row.at(key).at("spread").get<double>(), digits);
    };
    std::printf("%-24s %-11s %18s %22s %20s%s\n", transport.c_str(), shape.c_str(), text("gb_per_s", 2).c_str(),
                text("round_trip_us", 1).c_str(), text("cpu_seconds_per_gb", 3).c_str(),
                row.at("right").get<bool>() ? "" : "  WRONG BYTES");
  }
  std::printf(
      "fragments: 16 MiB in 4 KiB pieces gathered and scattered in random order; chunks: 16 x 1 MiB; loopback, no "
      "RDMA; "
      "every byte compared; CPU of both sides, waiting included; idle CPU of a pair %.2f %% of a core\n",
      result.at("idle_cpu_percent_per_pair").get<double>());
}

ExitCode bench_transport(const TransportBenchArguments& arguments, bool is_json) {
  Field field;
  field.add_copy();
  if (const auto added = field.add_raw("ring", integration::bench::RawKind::kRing); !added) {
    return fail("bench ring", added.error());
  }
  if (const auto added = field.add_raw("sockets", integration::bench::RawKind::kTcp); !added) {
    return fail("bench sockets", added.error());
  }
  for (const std::string& name : arguments.transports) {
    const auto added = field.add_transport(name);
    if (added) continue;
    if (added.error().code != ErrorCode::kUnsupported) return fail("bench " + name, added.error());
    std::fprintf(stderr, "%s is not in this build and does not take part\n", name.c_str());
  }
  const double idle = field.idle_percent();
  for (const std::string& command : arguments.peers) (void)field.add_peer(command);
  const std::vector<Row> rows = integration::bench::run_contest(field.contestants, arguments.contest);
  const json result = to_json(rows, idle, arguments);
  if (is_json) {
    std::printf("%s\n", result.dump().c_str());
  } else {
    print_table(result);
  }
  const bool has_failed = std::any_of(rows.begin(), rows.end(), [](const Row& row) {
    return row.contestant.rfind("sluice", 0) == 0 && (!row.failure.empty() || !row.is_right);
  });
  return has_failed ? ExitCode::kFailed : ExitCode::kOk;
}

}  // namespace

void add_transport_bench_command(CLI::App& bench, Invocation& invocation) {
  CLI::App* command = bench.add_subcommand(
      "transport",
      "speed and CPU of each transport between two processes of this host, beside copies and plain sockets");
  const auto arguments = std::make_shared<TransportBenchArguments>();  // lives as long as the callback
  arguments->transports = {"tcp", "ucx", "shm", "shm-spinning"};
  command->add_option("--transport", arguments->transports, "only these of tcp, ucx, shm, shm-spinning")
      ->check(CLI::IsMember({"tcp", "ucx", "shm", "shm-spinning"}));
  command->add_option("--rounds", arguments->contest.rounds, "of each measurement (9)")->check(CLI::Range(1, 1000));
  command->add_option("--transfers", arguments->contest.transfers, "of each round (4)")->check(CLI::Range(1, 1000));
  command->add_option("--peer", arguments->peers, "command of another project's contestant; more than once");
  command->callback([&invocation, arguments] {
    invocation.run = [&invocation, arguments] { return bench_transport(*arguments, invocation.json); };
  });
  CLI::App* server = bench.add_subcommand("transport-server", "the other process of `bench transport`");
  server->group("");  // not for people
  const auto name = std::make_shared<std::string>();
  server->add_option("NAME", *name)->required();
  server->callback([&invocation, name] { invocation.run = [name] { return serve_bench(*name); }; });
}

}  // namespace sluice::programs
