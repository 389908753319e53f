#include "tests/sim/wire_faults.h"

#include <algorithm>

#include "transport/message.h"

namespace sluice::transport::simtest {
namespace {

constexpr std::size_t kRemembered = 8;

bool is_greeting(MessageType type) { return type <= MessageType::kHelloRefused; }

Harm as_harm(std::uint64_t number) { return static_cast<Harm>(number); }

}  // namespace

std::uint32_t WireFaults::lost(RequestId request) const {
  const auto at = lost_.find(request);
  return at == lost_.end() ? 0 : at->second;
}

void WireFaults::meddle(const sim::PipeEnd& end, const FrameHeader& header, std::vector<sim::Flight>& flights) {
  const FramePlan& plan = plan_.frames;
  if (is_greeting(header.type)) {
    if (skewed_ == &end.loop() && header.type != MessageType::kHelloRefused) skew(flights.front());
  } else if (vanishes(header)) {
    ++lost_[header.unit.request];
    flights.clear();
    return;
  } else if (plan.double_one_in != 0 && world_.one_in(plan.double_one_in)) {
    flights.push_back(flights.front());
    flights.back().mark = static_cast<std::uint8_t>(Harm::kDoubled);
  } else if (header.type == MessageType::kData && plan.tamper_one_in != 0) {
    if (world_.one_in(plan.tamper_one_in)) tamper(end, header, flights.front());
  }
  if (plan.flip_one_in != 0 && world_.one_in(plan.flip_one_in)) flip(flights.front());
}

// Ends are what must not get lost: they vanish more often.
bool WireFaults::vanishes(const FrameHeader& header) {
  const bool is_end = header.type == MessageType::kDone || header.type == MessageType::kAbort;
  if (is_end && plan_.frames.ends_vanish) return true;
  if (losses_left_ == 0 || !world_.one_in(is_end ? 2 : 40)) return false;
  --losses_left_;
  return true;
}

void WireFaults::skew(sim::Flight& flight) {
  FrameHeader header = decode_frame(flight.header).value();
  Hello hello = decode_hello(flight.payload).value();
  hello.version_min = hello.version_max = kProtocolVersion + 1;
  flight.payload = encode(hello);
  header.digest = payload_digest(header, flight.payload);
  flight.header = encode(header);
}

void WireFaults::flip(sim::Flight& flight) {
  const std::size_t bit = world_.between(0, 8 * (kFrameHeaderSize + flight.payload.size()) - 1);
  const std::size_t byte = bit / 8;
  std::byte& changed = byte < kFrameHeaderSize ? flight.header[byte] : flight.payload[byte - kFrameHeaderSize];
  changed ^= std::byte{1} << (bit % 8);
  if (flight.mark < static_cast<std::uint8_t>(Harm::kSwapped)) flight.mark = static_cast<std::uint8_t>(Harm::kFlipped);
}

void WireFaults::tamper(const sim::PipeEnd& end, const FrameHeader& header, sim::Flight& flight) {
  const Seen original{&end, header, flight.payload};
  const Harm harm =
      as_harm(world_.between(static_cast<std::uint64_t>(Harm::kSwapped), static_cast<std::uint64_t>(Harm::kTooLong)));
  FrameHeader changed = header;
  if (put_elsewhere(end, harm, changed, flight)) {
    flight.header = encode(changed);
    flight.mark = static_cast<std::uint8_t>(harm);
  }
  seen_.push_back(original);
  if (seen_.size() > kRemembered) seen_.pop_front();
}

// False when this harm cannot be done to this frame; nothing was changed then.
bool WireFaults::put_elsewhere(const sim::PipeEnd& end, Harm harm, FrameHeader& header, sim::Flight& flight) {
  std::vector<std::byte>& payload = flight.payload;
  const auto with = [&](auto&& wanted) { return std::find_if(seen_.rbegin(), seen_.rend(), wanted); };
  bool digest_fits = true;
  switch (harm) {
    case Harm::kSwapped: {
      const auto other = with(
          [&](const Seen& seen) { return seen.header.unit != header.unit && seen.payload.size() <= payload.size(); });
      if (other == seen_.rend()) return false;
      payload = other->payload;
      header.length = Bytes(payload.size());
      header.digest = other->header.digest;
      digest_fits = false;
      break;
    }
    case Harm::kBurst: {
      const std::size_t from = world_.between(0, payload.size() - 1);
      const std::size_t count = world_.between(1, std::min<std::size_t>(64, payload.size() - from));
      for (std::size_t at = from; at < from + count; ++at)
        payload[at] ^= static_cast<std::byte>(world_.between(1, 255));
      digest_fits = false;
      break;
    }
    case Harm::kTruncated:
      if (payload.size() < 2) return false;
      payload.resize(world_.between(1, payload.size() - 1));
      header.length = Bytes(payload.size());
      digest_fits = false;
      break;
    case Harm::kStale:
      header.generation = Generation(header.generation.value() - 1);
      break;
    case Harm::kForeign: {
      const auto other = with([&](const Seen& seen) { return seen.end != &end; });
      if (other == seen_.rend() || other->header.slot == header.slot) return false;
      header.slot = other->header.slot;
      header.generation = other->header.generation;
      break;
    }
    case Harm::kMisplaced:
      header.unit.chunk = ChunkIndex(header.unit.chunk.value() + 1);
      break;
    case Harm::kOtherPart:
      header.part = header.part == Part::kBase ? Part::kRefinement1 : Part::kBase;
      break;
    case Harm::kOtherEpoch:
      header.epoch = Epoch(header.epoch.value() - 1);
      break;
    default:
      payload.resize(payload.size() + 1);
      header.length = Bytes(payload.size());
      break;
  }
  if (digest_fits) header.digest = payload_digest(header, payload);
  return true;
}

}  // namespace sluice::transport::simtest
