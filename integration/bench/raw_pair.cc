#include "integration/bench/raw_pair.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "integration/bench/raw_stream.h"

namespace sluice::integration::bench {
namespace {

struct Command {
  std::uint64_t shape = 0;
  std::uint64_t offset = 0;
};

template <typename Byte>
std::vector<std::span<Byte>> pieces_of(Shape shape, std::span<Byte> window, const std::vector<std::uint32_t>& order) {
  std::vector<std::span<Byte>> pieces;
  if (shape == Shape::kFragments) {
    for (const std::uint32_t at : order) pieces.push_back(window.subspan(at * kFragment, kFragment));
  } else {
    for (std::size_t at = 0; at < kWindow; at += kChunk) pieces.push_back(window.subspan(at, kChunk));
  }
  return pieces;
}

Result<void> write(RawStream& stream, std::span<const std::byte> bytes) { return stream.write(std::array{bytes}); }
Result<void> read(RawStream& stream, std::span<std::byte> bytes) { return stream.read(std::array{bytes}); }

Result<void> serve(RawStream& stream) {
  const std::vector<std::byte> pool = make_pool();
  const std::vector<std::uint32_t> order = fragment_order();
  std::vector<std::byte> message(kMessage);
  while (true) {
    Command command;
    SLUICE_TRY(read(stream, std::as_writable_bytes(std::span(&command, 1))));
    const auto shape = static_cast<Shape>(command.shape);
    const auto window = std::span<const std::byte>(pool).subspan(command.offset, kWindow);
    if (shape != Shape::kRoundTrip) {
      SLUICE_TRY(stream.write(pieces_of(shape, window, order)));
      continue;
    }
    for (std::size_t trip = 0; trip < kTrips; ++trip) {
      SLUICE_TRY(read(stream, message));
      SLUICE_TRY(write(stream, window.subspan(trip * kMessage, kMessage)));
    }
  }
}

class StreamPair final : public RawPair {
 public:
  StreamPair(std::unique_ptr<RawStream> stream, int pid) : stream_(std::move(stream)), pid_(pid) {}

  Result<Took> measure(Shape shape) override {
    const std::size_t offset = window_of(transfers_++);
    const std::span<std::byte> window = std::span(target_).subspan(offset, kWindow);
    const Command command{static_cast<std::uint64_t>(shape), offset};
    const Duration cpu = own_cpu() + cpu_of(pid_);
    const Instant began = clock_.now();
    SLUICE_TRY(write(*stream_, std::as_bytes(std::span(&command, 1))));
    std::vector<Duration> trips;
    if (shape == Shape::kRoundTrip) {
      SLUICE_TRY(make_trips(window, trips));
    } else {
      SLUICE_TRY(stream_->read(pieces_of(shape, window, order_)));
    }
    Took took;
    took.wall = clock_.now() - began;
    took.cpu = own_cpu() + cpu_of(pid_) - cpu;
    std::nth_element(trips.begin(), trips.begin() + static_cast<std::ptrdiff_t>(trips.size() / 2), trips.end());
    took.median_trip = trips.empty() ? Duration(0) : trips[trips.size() / 2];
    took.is_right = is_pool(shape == Shape::kRoundTrip ? window.first(kTrips * kMessage) : window, offset);
    std::memset(window.data(), 0, window.size());  // the next time it must be filled again
    return took;
  }

 private:
  Result<void> make_trips(std::span<std::byte> window, std::vector<Duration>& trips) {
    for (std::size_t trip = 0; trip < kTrips; ++trip) {
      const Instant began = clock_.now();
      SLUICE_TRY(write(*stream_, std::span(message_)));
      SLUICE_TRY(read(*stream_, window.subspan(trip * kMessage, kMessage)));
      trips.push_back(clock_.now() - began);
    }
    return {};
  }

  std::unique_ptr<RawStream> stream_;
  int pid_;
  MonotonicClock clock_;
  std::vector<std::byte> target_ = std::vector<std::byte>(kPool, std::byte{1});
  std::vector<std::byte> message_ = std::vector<std::byte>(kMessage, std::byte{1});
  std::vector<std::uint32_t> order_ = fragment_order();
  std::uint64_t transfers_ = 0;
};

}  // namespace

Result<void> serve_raw(RawKind kind, const std::function<void(const std::string&)>& ready) {
  SLUICE_ASSIGN(const auto stream, await_stream(kind, ready));
  return serve(*stream);
}

Result<std::unique_ptr<RawPair>> RawPair::open(RawKind kind, const std::string& address, int pid) {
  SLUICE_ASSIGN(auto stream, connect_stream(kind, address));
  return std::unique_ptr<RawPair>(std::make_unique<StreamPair>(std::move(stream), pid));
}

Took CopyBench::measure(Shape shape) {
  const std::size_t offset = window_of(transfers_++);
  const std::span<std::byte> window = std::span(target_).subspan(offset, kWindow);
  const auto to = pieces_of(shape, window, order_);
  const auto from = pieces_of(shape, std::span<const std::byte>(pool_).subspan(offset, kWindow), order_);
  const MonotonicClock clock;
  const Duration cpu = own_cpu();
  const Instant began = clock.now();
  for (std::size_t at = 0; at < to.size(); ++at) std::memcpy(to[at].data(), from[at].data(), to[at].size());
  Took took;
  took.wall = clock.now() - began;
  took.cpu = own_cpu() - cpu;
  took.is_right = is_pool(window, offset);
  std::memset(window.data(), 0, window.size());
  return took;
}

}  // namespace sluice::integration::bench
