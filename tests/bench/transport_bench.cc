// Throughput of two endpoints over loopback, one thread each, every payload digest-checked: GB/s, CPU seconds per GB,
// and the CPU that a connected pair takes when idle. Every part goes out from other memory than the one before.
// Run: build/tests/bench/bench_transport tcp|ucx PART_BYTES TOTAL_MB
#include <sys/resource.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <future>
#include <thread>

#include "transport/asio_loop.h"
#include "transport/endpoint.h"
#include "transport/tcp/tcp_fabric.h"
#include "transport/ucx/ucx_fabric.h"

namespace sluice::transport {
namespace {

constexpr std::uint32_t kWindow = 16;
constexpr std::size_t kSourceBytes = 256U << 20U;

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// Prefill: accepts, serves grants from a large source. Decode: keeps kWindow grants out, counts.
class BenchHandler final : public SessionHandler {
 public:
  BenchHandler(std::size_t part, std::uint32_t parts) : part_(part), parts_(parts) {
    // Here and not on the loop: touching so many pages takes longer than a peer waits for a heartbeat.
    source_ = std::make_shared<std::vector<std::byte>>(kSourceBytes, std::byte{7});
  }

  void on_up(Session&, const Hello&) override {}
  void on_down(Session&, Error) override {}
  void on_open(Session& session, const OpenRequest& request) override {
    OpenAck shape;
    shape.layout = KvLayout{Layers(1), Heads(1), HeadDim(64), 1, 1, 64, 1e5};
    shape.tokens = Tokens(parts_);
    shape.chunk_tokens = Tokens(1);
    shape.group_layers = Layers(1);
    shape.units = Units(parts_);
    (void)session.accept(request.request, shape);
  }
  void on_grant(Session& session, const GrantToken& token) override {
    if (at_ + part_ > source_->size()) at_ = 0;
    const Result<void> sent = session.send_part(token, std::span(*source_).subspan(at_, part_), source_);
    SLUICE_ASSERT(sent.has_value());
    at_ += part_;
  }
  void on_peer_done(Session&, RequestId) override {}
  void on_peer_aborted(Session&, RequestId, Error) override {}
  void on_announce(Session&, const Announce&) override {}
  void on_accept(Session& session, RequestId, const OpenAck&) override {
    for (std::uint32_t i = 0; i < kWindow; ++i) grant_next(session);
  }
  void on_offer(Session&, const Offer&) override {}
  void on_part(Session& session, UnitKey unit, Part, SlotHold hold) override {
    hold = SlotHold();
    grant_next(session);
    if (++received_ == parts_) {
      session.finish(unit.request);
      done.set_value(true);
    }
  }
  void on_sealed(Session&, RequestId, Units) override {}
  void on_request_failed(Session&, RequestId, Error error) override {
    std::fprintf(stderr, "failed: %s at %s\n", std::string(error_name(error.code)).c_str(), error.where);
    done.set_value(false);
  }
  void on_slots_free(Session&) override {}
  void on_goaway(Session&) override {}

  std::promise<bool> done;

 private:
  void grant_next(Session& session) {
    if (granted_ >= parts_) return;
    const UnitKey unit{RequestId(1), ChunkIndex(granted_++), LayerGroupIndex(0)};
    const Result<void> granted = session.grant(unit, Part::kRaw, Bytes(part_));
    SLUICE_ASSERT(granted.has_value());
  }

  std::size_t part_;
  std::uint32_t parts_;
  std::uint32_t granted_ = 0;
  std::uint32_t received_ = 0;
  std::shared_ptr<std::vector<std::byte>> source_;
  std::size_t at_ = 0;
};

struct BenchNode {
  BenchNode(std::size_t part, std::uint32_t parts) : handler(part, parts) {}
  void open(bool with_ucx, const EndpointOptions& options, std::uint64_t epoch) {
    if (with_ucx) data = std::move(ucx::open_ucx_fabric(loop, {})).value();
    NodeIdentity identity;
    identity.epoch = Epoch(epoch);
    const EndpointParts endpoint_parts{turns, *stream, data.get(), clock, events, handler};
    endpoint = std::move(Endpoint::open(endpoint_parts, options, identity)).value();
  }
  void close() {
    asio::post(loop, [this] {
      endpoint->async_close([this] {
        endpoint.reset();
        if (data == nullptr) return work.reset();
        data->async_close([this] { work.reset(); });
      });
    });
    thread.join();
  }

  asio::io_context loop{1};
  AsioLoop turns{loop};
  asio::executor_work_guard<asio::io_context::executor_type> work{loop.get_executor()};
  MonotonicClock clock;
  NullEventSink events;
  BenchHandler handler;
  std::unique_ptr<StreamFabric> stream = tcp::make_tcp_fabric(loop, {});
  std::unique_ptr<DataFabric> data;
  std::unique_ptr<Endpoint> endpoint;
  std::thread thread;
};

int run(const char* fabric, std::size_t part, std::uint32_t parts) {
  const bool with_ucx = std::strcmp(fabric, "ucx") == 0;
  BenchNode prefill(part, parts);
  BenchNode decode(part, parts);
  EndpointOptions options;
  decode.open(with_ucx, options, 2);
  options.listen = "127.0.0.1:0";
  prefill.open(with_ucx, options, 1);
  prefill.thread = std::thread([&] { prefill.loop.run(); });
  decode.thread = std::thread([&] { decode.loop.run(); });
  std::promise<Session*> joined;
  asio::post(decode.loop, [&] {
    decode.endpoint->connect(prefill.endpoint->listen_address(),
                             [&](Result<Session*> session) { joined.set_value(session ? *session : nullptr); });
  });
  Session* session = joined.get_future().get();
  if (session == nullptr) return 1;
  const double idle_from = cpu_seconds();
  std::this_thread::sleep_for(std::chrono::seconds(1));
  const double idle = cpu_seconds() - idle_from;
  const double cpu_from = cpu_seconds();
  const Instant from = decode.clock.now();
  asio::post(decode.loop, [&] {
    OpenRequest open;
    open.request = RequestId(1);
    open.remaining = std::chrono::seconds(60);
    SLUICE_ASSERT(session->open(open).has_value());
  });
  const std::string carried_by(session->path().data);  // the session may be gone when the request has failed
  const bool good = decode.handler.done.get_future().get();
  const double seconds = static_cast<double>((decode.clock.now() - from).count()) * 1e-9;
  const double gigabytes = static_cast<double>(part) * parts * 1e-9;
  std::printf("%s part %zu: %.2f GB/s, %.2f CPU s/GB, idle CPU %.1f %%\n", carried_by.c_str(), part,
              gigabytes / seconds, (cpu_seconds() - cpu_from) / gigabytes, idle * 100.0);
  decode.close();
  prefill.close();
  return good ? 0 : 1;
}

}  // namespace
}  // namespace sluice::transport

int main(int count, char** values) {
  if (count != 4) {
    std::fprintf(stderr, "usage: bench_transport tcp|ucx PART_BYTES TOTAL_MB\n");
    return 2;
  }
  const std::size_t part = std::strtoul(values[2], nullptr, 10);
  const std::size_t total = std::strtoul(values[3], nullptr, 10) * 1'000'000U;
  if (part == 0 || part > sluice::transport::kMaxDataPayload.count() || total < part) return 2;
  return sluice::transport::run(values[1], part, static_cast<std::uint32_t>(total / part));
}
