// What comes out of the network: who must have been told what when a sink has taken a frame.
#include "tests/sim/wire_laws.h"

#include "transport/message.h"

namespace sluice::transport::simtest {
namespace {

bool must_be_refused(Harm harm) { return harm == Harm::kFlipped || harm >= Harm::kSwapped; }

}  // namespace

void WireLaws::on_written(const sim::PipeEnd& end, const FrameHeader& header, const sim::Flight* flight) {
  const auto filled = filling_.find(end.weak_from_this());
  before_ = Before();
  before_.is_placed = filled != filling_.end();
  if (before_.is_placed) {
    filling_.erase(filled);
    book_of(end).stop_filling(header.slot, header.generation);
  }
  if (flight != nullptr && !retired_) note(end, header, static_cast<Harm>(flight->mark));
}

// How things stand before the sink hears of the frame, and what it must do about it.
void WireLaws::note(const sim::PipeEnd& end, const FrameHeader& header, Harm harm) {
  Book& book = book_of(end);
  const RequestId request = header.unit.request;
  before_.announce_calls = book.announce_calls;
  if (header.type == MessageType::kPing && !must_be_refused(harm)) ++beats_[end.weak_from_this()].pongs_owed;
  if (header.type >= MessageType::kPing || header.type <= MessageType::kAnnounce) return;
  before_.calls = book.calls[request];
  const auto own = book.wanted.find(request);
  if (own != book.wanted.end()) {
    before_.is_running = !own->second.ended;
    before_.is_accepted = !own->second.units.is_zero();
    before_.is_sealed = own->second.sealed;
  }
  before_.is_served = book.is_serving(request);
  Talk& talk = talks_[request];
  if (header.type == MessageType::kOpen) talk.sender = end.weak_from_this();
  before_.acknowledgements = talk.acknowledgements;
  before_.rejects = talk.rejects;
  const bool ends = header.type == MessageType::kDone || header.type == MessageType::kAbort;
  if (ends && !must_be_refused(harm)) {
    ++talk.ends_came;
    talk.sender_ended = true;
  }
  if (before_.is_placed && must_be_refused(harm)) refused_.insert({header.unit, header.part});
}

void WireLaws::on_taken(const sim::PipeEnd& end, const FrameHeader& header, const sim::Flight& flight) {
  if (retired_) return;
  const auto harm = static_cast<Harm>(flight.mark);
  if (header.type == MessageType::kData) return taken_data(end, header, harm);
  if (end.is_closing()) return;
  if (must_be_refused(harm)) broken("a control frame with a flipped bit is taken");
  switch (header.type) {
    case MessageType::kOpen:
      return taken_open(end, header, flight);
    case MessageType::kGrant:
      return taken_grant(end, header, flight);
    case MessageType::kDone:
    case MessageType::kAbort:
      return taken_end(end, header, flight);
    case MessageType::kOpenAck:
    case MessageType::kReject:
    case MessageType::kOffer:
    case MessageType::kSeal:
    case MessageType::kFailed:
    case MessageType::kDoneAck:
    case MessageType::kAbortAck:
      return taken_by_receiver(end, header, flight);
    default:
      return taken_between_peers(end, header, flight);
  }
}

void WireLaws::taken_data(const sim::PipeEnd& end, const FrameHeader& header, Harm harm) {
  const Book& book = book_of(end);
  const std::uint64_t request = header.unit.request.value();
  const std::uint32_t told = book.calls.at(header.unit.request).parts - before_.calls.parts;
  if (must_be_refused(harm) && told != 0)
    broken("a bad part of request {} was told ({})", request, static_cast<int>(harm));
  if (harm >= Harm::kSwapped) ++refused_count_;
  if (end.is_closing()) return;
  const bool was_wanted = before_.is_placed && before_.is_running;
  if (!was_wanted) {
    if (told != 0) broken("a part of request {} was told that nobody wanted", request);
    return;
  }
  const PartKey part(header.unit, header.part);
  if (!must_be_refused(harm)) {
    if (told != 1) broken("a good part of request {} was told {} times", request, told);
  } else if (refused_.contains(part) && !book.wanted.at(header.unit.request).ended) {
    broken("a bad part of request {} was not asked for again", request);
  }
}

void WireLaws::taken_open(const sim::PipeEnd& end, const FrameHeader& header, const sim::Flight& flight) {
  const Book& book = book_of(end);
  const RequestId request = header.unit.request;
  const std::uint32_t told = book.calls.at(request).opens - before_.calls.opens;
  const std::uint32_t rejected = talks_[request].rejects - before_.rejects;
  const bool is_second = static_cast<Harm>(flight.mark) == Harm::kDoubled;
  if (is_second || before_.is_served) {
    if (told != 0) broken("OPEN of request {} was told twice", request.value());
    return;
  }
  if (told + rejected != 1) broken("OPEN of request {} was told {} times", request.value(), told);
  if (told == 0) return;
  const OpenRequest open = decode_open(request, flight.payload).value();
  if (book.deadline_of(request) != world_.now() + open.remaining)
    broken("request {} was told another deadline", request.value());
}

void WireLaws::taken_grant(const sim::PipeEnd& end, const FrameHeader& header, const sim::Flight& flight) {
  const Book& book = book_of(end);
  const RequestId request = header.unit.request;
  const std::uint32_t told = book.calls.at(request).grants - before_.calls.grants;
  const Grant grant = decode_grant(flight.payload).value();
  const PartKey part(header.unit, header.part);
  const bool is_new =
      grants_.insert({{request, header.slot, header.generation}, {part, grant.max_length, false}}).second;
  const bool is_due = is_new && before_.is_served;
  if (told != (is_due ? 1U : 0U)) broken("a GRANT of request {} was told {} times", request.value(), told);
  if (!is_due) return;
  const GrantToken& token = book.last_grant;
  const bool as_said = token.unit == header.unit && token.part == header.part && token.slot == header.slot &&
                       token.generation == header.generation && token.max_length == grant.max_length &&
                       token.deadline == world_.now() + grant.lease;
  if (!as_said) broken("a GRANT of request {} was told as another", request.value());
}

void WireLaws::taken_end(const sim::PipeEnd& end, const FrameHeader& header, const sim::Flight& flight) {
  const Book& book = book_of(end);
  const RequestId request = header.unit.request;
  const Calls& calls = book.calls.at(request);
  if (talks_[request].acknowledgements != before_.acknowledgements + 1) {
    broken("the end of request {} was not acknowledged at once", request.value());
  }
  const std::uint32_t told = calls.ends - before_.calls.ends;
  if (told != (before_.is_served ? 1U : 0U)) broken("the end of request {} was told {} times", request.value(), told);
  if (!before_.is_served) return;
  const bool is_abort = header.type == MessageType::kAbort;
  const ErrorCode code = is_abort ? decode_reason(flight.payload).value().code : ErrorCode::kOk;
  if (calls.aborted != code) broken("the end of request {} was told as another", request.value());
}

void WireLaws::taken_by_receiver(const sim::PipeEnd& end, const FrameHeader& header, const sim::Flight& flight) {
  const Book& book = book_of(end);
  const RequestId request = header.unit.request;
  Calls expected = before_.calls;
  const bool is_flowing = before_.is_running && before_.is_accepted;
  switch (header.type) {
    case MessageType::kOpenAck:
      if (!before_.is_running || before_.is_accepted) break;
      ++expected.accepts;
      if (book.wanted.at(request).units != decode_open_ack(flight.payload).value().units)
        broken("{}: another shape", request.value());
      break;
    case MessageType::kReject:
      if (before_.is_running && !before_.is_accepted) expected.failed = decode_reject(flight.payload).value().code;
      break;
    case MessageType::kFailed:
      if (before_.is_running) expected.failed = decode_reason(flight.payload).value().code;
      break;
    case MessageType::kOffer:
      if (is_flowing) ++expected.offers;
      break;
    case MessageType::kSeal:
      if (is_flowing && !before_.is_sealed) ++expected.seals;
      break;
    default:  // DONE_ACK, ABORT_ACK
      talks_[request].end_acknowledged = true;
      break;
  }
  if (book.calls.at(request) != expected) {
    broken("message {} was not told as it is to request {}", static_cast<int>(header.type), request.value());
  }
}

void WireLaws::taken_between_peers(const sim::PipeEnd& end, const FrameHeader& header, const sim::Flight& flight) {
  const Book& book = book_of(end);
  if (header.type == MessageType::kPing) {
    if (beats_[end.weak_from_this()].pongs_owed != 0) broken("a PING is not answered at once");
  } else if (header.type == MessageType::kAnnounce) {
    if (book.announce_calls != before_.announce_calls + 1) broken("ANNOUNCE was not told once");
    if (book.announced != decode_announce(header.unit.request, flight.payload).value())
      broken("ANNOUNCE was told as another");
  } else if (header.type == MessageType::kGoaway) {
    if (++goaways_[end.weak_from_this()] == 1) ++goaways_due_[&end.loop()];
    if (book.goaway_calls != goaways_due_[&end.loop()]) broken("GOAWAY was not told once");
  }
}

}  // namespace sluice::transport::simtest
