// What is given to the network, where it lands, and when connections end; what comes out of it is in
// wire_laws_taken.cc.
#include "tests/sim/wire_laws.h"

#include <algorithm>

#include "transport/message.h"
#include "transport/receiver.h"

namespace sluice::transport::simtest {
namespace {

/// Alarms ring this late at most.
constexpr Duration kLateAlarm = std::chrono::milliseconds(2);

// Of an OPEN that the handler was not even told.
void check_refusal(const Book& book, ErrorCode code, std::uint32_t limit) {
  if (code == ErrorCode::kDraining && !book.is_draining) broken("REJECT as draining by a node that does not");
  if (code == ErrorCode::kQueueFull && book.held.size() < limit)
    broken("REJECT as full at {} requests", book.held.size());
}

}  // namespace

void WireLaws::on_way(const sim::PipeEnd& end, std::vector<sim::Flight>& flights) {
  const FrameHeader header = decode_frame(flights.front().header).value();
  const bool is_late = header.type == MessageType::kData && talks_[header.unit.request].sender_ended;
  if (is_late && !retired_) broken("DATA of ended request {} goes out", header.unit.request.value());
  faults_.meddle(end, header, flights);
}

bool WireLaws::is_awake(const sim::PipeEnd& end, Instant since) const {
  return end.loop().paused_until() + kLateAlarm < since;
}

void WireLaws::on_given(const sim::PipeEnd& end, const OutgoingFrame& frame) {
  if (retired_) return;
  const FrameHeader& header = frame.header;
  switch (header.type) {
    case MessageType::kOpen:
    case MessageType::kGrant:
    case MessageType::kDone:
    case MessageType::kAbort:
      return given_by_receiver(end, frame, talks_[header.unit.request]);
    case MessageType::kOpenAck:
    case MessageType::kReject:
    case MessageType::kOffer:
    case MessageType::kSeal:
    case MessageType::kFailed:
    case MessageType::kData:
    case MessageType::kDoneAck:
    case MessageType::kAbortAck:
      return given_by_sender(end, frame, talks_[header.unit.request]);
    default:
      return given_between_peers(end, frame);
  }
}

void WireLaws::given_by_receiver(const sim::PipeEnd& end, const OutgoingFrame& frame, Talk& talk) {
  const FrameHeader& header = frame.header;
  const std::uint64_t request = header.unit.request.value();
  if (header.type == MessageType::kOpen) {
    if (++talk.opens > 1) broken("OPEN was said twice for request {}", request);
    talk.receiver = end.weak_from_this();
    return;
  }
  if (talk.opens == 0) broken("a receiver speaks of request {} that it did not open", request);
  if (header.type != MessageType::kGrant) return given_end(end, frame, talk);
  if (talk.dones + talk.aborts > 0) broken("GRANT after the end of request {}", request);
  const PartKey part(header.unit, header.part);
  const std::uint32_t times = ++talk.grants[part];
  if (times > plan_.endpoint.part_retries + 1) broken("a part of request {} was granted {} times", request, times);
  if (times > 1 && refused_.erase(part) == 0) broken("a part of request {} was granted again for no reason", request);
  const Grant grant = decode_grant(frame.owned).value();
  const Wanted& own = book_of(end).wanted.at(header.unit.request);
  const auto offered = own.offered.find(part);
  if (offered == own.offered.end() || grant.max_length != offered->second) {
    broken("a GRANT of request {} is not of what was offered", request);
  }
  if (world_.now() + grant.lease > std::max(own.deadline, world_.now()))
    broken("a lease outlives its request {}", request);
}

void WireLaws::given_end(const sim::PipeEnd& end, const OutgoingFrame& frame, Talk& talk) {
  const bool is_done = frame.header.type == MessageType::kDone;
  const std::uint64_t request = frame.header.unit.request.value();
  if ((is_done ? talk.aborts : talk.dones) > 0) broken("both DONE and ABORT for request {}", request);
  if (is_done != book_of(end).wanted.at(frame.header.unit.request).is_finished) {
    broken("the end of request {} was said as another", request);
  }
  const std::uint32_t times = ++(is_done ? talk.dones : talk.aborts);
  if (times > Receiver::kMaxResends + 1) broken("the end of request {} was said {} times", request, times);
  if (talk.end_acknowledged) broken("the end of request {} was said after its acknowledgement", request);
  if (!is_done) {
    const ErrorCode code = decode_reason(frame.owned).value().code;
    if (code == ErrorCode::kOk) broken("ABORT of request {} without a reason", request);
    if (times > 1 && code != talk.abort_code) broken("ABORT of request {} changes its reason", request);
    talk.abort_code = code;
  }
  if (times > 1) {
    const Duration since = world_.now() - talk.end_said;
    if (since < 2 * beat()) broken("the end of request {} was said again too soon", request);
    if (since > 2 * beat() + kLateAlarm && is_awake(end, talk.end_said)) {
      broken("the end of request {} was said again too late", request);
    }
  }
  talk.end_said = world_.now();
}

void WireLaws::given_by_sender(const sim::PipeEnd& end, const OutgoingFrame& frame, Talk& talk) {
  const FrameHeader& header = frame.header;
  const std::uint64_t request = header.unit.request.value();
  if (header.type == MessageType::kDoneAck || header.type == MessageType::kAbortAck) {
    if (++talk.acknowledgements > talk.ends_came) broken("an end of {} was acknowledged that never came", request);
    return;
  }
  if (talk.sender_ended)
    broken("message {} after the end of served request {}", static_cast<int>(header.type), request);
  const bool needs_accept =
      header.type == MessageType::kOffer || header.type == MessageType::kSeal || header.type == MessageType::kData;
  if (needs_accept && talk.accepts == 0)
    broken("message {} before OPEN_ACK of {}", static_cast<int>(header.type), request);
  switch (header.type) {
    case MessageType::kOpenAck:
      if (++talk.accepts > 1 || talk.rejects > 0) broken("OPEN_ACK after another answer to request {}", request);
      return;
    case MessageType::kReject:
      if (++talk.rejects > 1 && plan_.frames.double_one_in == 0) broken("REJECT twice for request {}", request);
      if (talk.accepts > 0) broken("REJECT after OPEN_ACK of request {}", request);
      return check_refusal(book_of(end), decode_reject(frame.owned).value().code,
                           plan_.endpoint.max_requests_per_session);
    case MessageType::kSeal:
      if (++talk.seals > 1) broken("SEAL twice for request {}", request);
      return;
    case MessageType::kFailed:
      if (++talk.failures > 1) broken("FAILED twice for request {}", request);
      talk.sender_ended = true;
      return;
    case MessageType::kData:
      return given_data(header);
    default:
      return;
  }
}

void WireLaws::given_data(const FrameHeader& header) {
  const std::uint64_t request = header.unit.request.value();
  const auto at = grants_.find({header.unit.request, header.slot, header.generation});
  if (at == grants_.end()) broken("DATA of request {} that nobody granted", request);
  GrantSeen& grant = at->second;
  if (std::exchange(grant.is_used, true)) broken("two DATA frames for one GRANT of request {}", request);
  if (grant.part != PartKey(header.unit, header.part)) broken("DATA of request {} is not what was granted", request);
  if (header.length > grant.most) broken("DATA of request {} is longer than granted", request);
}

void WireLaws::given_between_peers(const sim::PipeEnd& end, const OutgoingFrame& frame) {
  Beat& own = beats_[end.weak_from_this()];
  if (frame.header.type == MessageType::kPing) {
    const Ping ping = decode_ping(frame.owned).value();
    if (ping.sequence <= own.last_sequence) broken("PING {} comes again", ping.sequence);
    own.last_sequence = ping.sequence;
    if (own.pings > 0) {
      const Duration since = world_.now() - own.pinged;
      if (since < beat()) broken("PING after {} ns", since.count());
      if (since > beat() + kLateAlarm && is_awake(end, own.pinged)) broken("no PING for {} ns", since.count());
    }
    const Duration greeting = world_.now() - end.made() - 2 * plan_.pipes.delay;
    const bool is_late = greeting > plan_.endpoint.handshake_timeout + 2 * kLateAlarm;
    if (own.pings == 0 && is_late && is_awake(end, end.made())) broken("a greeting took {} ns", greeting.count());
    ++own.pings;
    own.pinged = world_.now();
  } else if (frame.header.type == MessageType::kGoaway) {
    ++own.goaways;
  } else if (frame.header.type == MessageType::kPong) {
    if (own.pongs_owed == 0) broken("PONG without a PING");
    --own.pongs_owed;
  }
}

void WireLaws::on_place(const sim::PipeEnd& end, const FrameHeader& header, std::span<const std::byte> place) {
  if (retired_ || header.type != MessageType::kData) return;
  place_data(end, header, place);
}

void WireLaws::place_data(const sim::PipeEnd& end, const FrameHeader& header, std::span<const std::byte> place) {
  Book& book = book_of(end);
  const auto slot = book.slots.find(header.slot);
  const auto own = book.wanted.find(header.unit.request);
  const bool is_leased = slot != book.slots.end() && slot->second.generation == header.generation &&
                         slot->second.part == PartKey(header.unit, header.part) &&
                         slot->second.state == SlotUse::State::kLeased && own != book.wanted.end() &&
                         !own->second.ended;
  if (!place.empty()) {
    if (!is_leased) broken("DATA of request {} was placed without a lease", header.unit.request.value());
    if (header.length > own->second.offered.at(slot->second.part)) broken("a placed part is longer than its lease");
    book.fill(header.slot, place);
    filling_[end.weak_from_this()] = header;
  } else if (is_leased && !end.is_closing()) {
    broken("DATA of request {} fits its lease and was dropped", header.unit.request.value());
  }
}

void WireLaws::on_close(const sim::PipeEnd& end, Error error) {
  if (retired_) return;
  const FramePlan& frames = plan_.frames;
  if (plan_.calm) broken("a session of a calm run ends with error {}", static_cast<int>(error.code));
  switch (error.code) {
    case ErrorCode::kPeerSilent:
      return check_silence(end);
    case ErrorCode::kDigestMismatch:
    case ErrorCode::kBadMagic:
      if (frames.flip_one_in == 0)
        broken("a session ends with error {} though no bit flips", static_cast<int>(error.code));
      return;
    case ErrorCode::kProtocolViolation:
    case ErrorCode::kBadField:
    case ErrorCode::kBadVersion:
    case ErrorCode::kBadLength:
    case ErrorCode::kTruncated:
    case ErrorCode::kTrailingBytes:
      if (error.code == ErrorCode::kProtocolViolation) ++refused_count_;  // by the end of the whole session
      if (frames.tamper_one_in == 0)
        broken("a session ends with error {} though nobody tampers", static_cast<int>(error.code));
      return;
    case ErrorCode::kQueueFull:
      if (plan_.pipes.queue >= Bytes(1U << 20U)) broken("a queue of {} bytes is full", plan_.pipes.queue.count());
      return;
    default:
      return;
  }
}

// After all misses, neither before nor later, and our own sleep is not its silence.
void WireLaws::check_silence(const sim::PipeEnd& end) const {
  const auto own = beats_.find(end.weak_from_this());
  if (own == beats_.end() || own->second.pings == 0) return;  // never greeted
  const Duration silence = beat() * plan_.endpoint.misses;
  const Duration since = world_.now() - end.heard();
  if (since < silence) broken("a peer that spoke {} ns ago counts as silent", since.count());
  const sim::NodeLoop& loop = end.loop();
  if (is_awake(end, end.heard())) {
    if (since > silence + kLateAlarm) broken("silence was found after {} ns", since.count());
    return;
  }
  const Duration slept = loop.paused_until() - std::max(loop.paused_from(), end.heard());
  // The alarm was due within a beat after the sleep began, and a beat of lateness is not excused.
  if (since - slept < silence - 2 * beat()) broken("a node that slept {} ns calls its peer silent", slept.count());
}

std::shared_ptr<const sim::PipeEnd> WireLaws::alive(const End& end) {
  const std::shared_ptr<const sim::PipeEnd> held = end.lock();
  const bool lives = held != nullptr && held->is_open() && !held->is_closing() && !held->loop().is_dead();
  return lives ? held : nullptr;
}

void WireLaws::check_quiet() const {
  for (const auto& [request, talk] : talks_) {
    if (alive(talk.receiver) != nullptr) check_said(request, talk);
  }
  for (const auto& [key, beat] : beats_) {
    const auto end = alive(key);
    if (end != nullptr && beat.pings > 0) check_alive(*end, beat);
  }
  for (const auto& [loop, book] : books_) {
    if (!loop->is_dead()) check_answered(*book);
  }
}

// The end of a request whose session lives: it was said if it is ours to say, it reached the peer, and was
// acknowledged.
void WireLaws::check_said(RequestId request, const Talk& talk) const {
  const Book& book = book_of(*alive(talk.receiver));
  const ErrorCode failed = book.calls.contains(request) ? book.calls.at(request).failed : ErrorCode::kOk;
  const auto own = book.wanted.find(request);
  const bool is_ended_here =
      own != book.wanted.end() && own->second.ended && (own->second.failed_here || failed == ErrorCode::kOk);
  if (is_ended_here && own->second.failed_here && failed == ErrorCode::kDigestMismatch) {
    std::uint32_t most = 0;
    for (const auto& [part, times] : talk.grants) most = std::max(most, times);
    if (most <= plan_.endpoint.part_retries) broken("request {} failed after {} grants", request.value(), most);
  }
  if (talk.dones + talk.aborts == 0) {
    if (is_ended_here) broken("the end of request {} was not said", request.value());
    return;
  }
  if (faults_.lost(request) > Receiver::kMaxResends) return;
  if (talk.ends_came == 0) broken("the end of request {} never reached its peer", request.value());
  if (!talk.end_acknowledged) broken("the end of {} was not acknowledged", request.value());
}

void WireLaws::check_alive(const sim::PipeEnd& end, const Beat& own) const {
  if (world_.now() - own.pinged > 2 * beat()) broken("an idle session pings no more");
  if (world_.now() - end.heard() > beat() * (plan_.endpoint.misses + 1)) broken("a silent peer is not found");
  if (book_of(end).is_draining && own.goaways == 0) broken("a node drains and its peer does not hear of it");
}

// What the handler decided was said, and so was the sender's own deadline, if there was a session to say it on.
void WireLaws::check_answered(const Book& book) const {
  for (const RequestId request : book.rejected_here) {
    const Talk& talk = talks_.at(request);
    if (talk.rejects == 0 && alive(talk.sender) != nullptr) broken("the rejection of {} was not said", request.value());
  }
  for (const RequestId request : book.failed_here) {
    const Talk& talk = talks_.at(request);
    if (talk.failures == 0 && alive(talk.sender) != nullptr) broken("the failure of {} was not said", request.value());
  }
}

}  // namespace sluice::transport::simtest
