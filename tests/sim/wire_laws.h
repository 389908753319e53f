// The laws of what two nodes say to each other, seen by somebody who sees both sides (PROTOCOL.md, sections 6 and 7):
//   whoever is told something by a frame is told in the same turn, once, with what the frame says;
//   a DONE or ABORT is acknowledged in the same turn, said again at its interval, at most 5 times, and reaches its
//   peer; after its end a request is spoken of no more, but for acknowledgements; each DATA frame answers one GRANT,
//   which was not given more often than the retries allow; DATA goes where a running lease says, or nowhere; a good
//   part is told, a bad one is asked for again or ends; pings go out and come back in time; a session ends only for a
//   reason, and does end for that one.
// Place in the flow: it is the Watch of the simulated network. Threads: one.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

#include "tests/sim/book.h"
#include "tests/sim/run_plan.h"
#include "tests/sim/wire_faults.h"

namespace sluice::transport::simtest {

/// Threads: one.
class WireLaws final : public sim::Watch {
 public:
  WireLaws(sim::World& world, const RunPlan& plan) : world_(world), plan_(plan), faults_(world, plan) {}

  void add(const sim::NodeLoop& loop, Book& book) { books_[&loop] = &book; }
  WireFaults& faults() { return faults_; }
  const WireFaults& faults() const { return faults_; }
  /// Parts made wrong by somebody who knows the protocol that came to a session and were refused.
  std::uint64_t refused() const { return refused_count_; }
  /// From here on connections end without a reason.
  void retire() { retired_ = true; }
  /// When nothing runs any more. Throws Broken.
  void check_quiet() const;

  void on_given(const sim::PipeEnd& end, const OutgoingFrame& frame) override;
  void on_way(const sim::PipeEnd& end, std::vector<sim::Flight>& flights) override;
  void on_place(const sim::PipeEnd& end, const FrameHeader& header, std::span<const std::byte> place) override;
  void on_written(const sim::PipeEnd& end, const FrameHeader& header, const sim::Flight* flight) override;
  void on_taken(const sim::PipeEnd& end, const FrameHeader& header, const sim::Flight& flight) override;
  void on_close(const sim::PipeEnd& end, Error error) override;

 private:
  using End = std::weak_ptr<const sim::PipeEnd>;
  template <typename Value>
  using ByEnd = std::map<End, Value, std::owner_less<End>>;

  /// What was said of one request.
  struct Talk {
    End receiver;
    std::uint32_t opens = 0;
    std::uint32_t dones = 0;
    std::uint32_t aborts = 0;
    ErrorCode abort_code = ErrorCode::kOk;
    Instant end_said;
    bool end_acknowledged = false;
    std::map<PartKey, std::uint32_t> grants;

    End sender;
    std::uint32_t accepts = 0;
    std::uint32_t rejects = 0;
    std::uint32_t failures = 0;
    std::uint32_t seals = 0;
    std::uint32_t acknowledgements = 0;
    std::uint32_t ends_came = 0;
    bool sender_ended = false;
  };
  /// A GRANT that came to the side that sends.
  using GrantKey = std::tuple<RequestId, SlotIndex, Generation>;
  struct GrantSeen {
    PartKey part;
    Bytes most;
    bool is_used = false;
  };
  /// Pings of one end.
  struct Beat {
    Instant pinged;
    std::uint64_t pings = 0;
    std::uint32_t goaways = 0;
    std::uint64_t pongs_owed = 0;
    std::uint64_t last_sequence = 0;
    bool is_up = false;
  };
  /// How things stood before the sink heard of a frame.
  struct Before {
    Calls calls;
    bool is_running = false;  ///< at the side that wants
    bool is_accepted = false;
    bool is_sealed = false;
    bool is_served = false;  ///< at the side that holds
    bool is_placed = false;  ///< DATA went into the ring
    std::uint32_t acknowledgements = 0;
    std::uint32_t rejects = 0;
    std::uint64_t announce_calls = 0;
  };

  void given_by_receiver(const sim::PipeEnd& end, const OutgoingFrame& frame, Talk& talk);
  void given_end(const sim::PipeEnd& end, const OutgoingFrame& frame, Talk& talk);
  void given_by_sender(const sim::PipeEnd& end, const OutgoingFrame& frame, Talk& talk);
  void given_data(const FrameHeader& header);
  void given_between_peers(const sim::PipeEnd& end, const OutgoingFrame& frame);
  void place_data(const sim::PipeEnd& end, const FrameHeader& header, std::span<const std::byte> place);

  void note(const sim::PipeEnd& end, const FrameHeader& header, Harm harm);
  void taken_by_receiver(const sim::PipeEnd& end, const FrameHeader& header, const sim::Flight& flight);
  void taken_data(const sim::PipeEnd& end, const FrameHeader& header, Harm harm);
  void taken_open(const sim::PipeEnd& end, const FrameHeader& header, const sim::Flight& flight);
  void taken_grant(const sim::PipeEnd& end, const FrameHeader& header, const sim::Flight& flight);
  void taken_end(const sim::PipeEnd& end, const FrameHeader& header, const sim::Flight& flight);
  void taken_between_peers(const sim::PipeEnd& end, const FrameHeader& header, const sim::Flight& flight);

  void check_silence(const sim::PipeEnd& end) const;
  void check_answered(const Book& book) const;
  void check_said(RequestId request, const Talk& talk) const;
  void check_alive(const sim::PipeEnd& end, const Beat& beat) const;
  static std::shared_ptr<const sim::PipeEnd> alive(const End& end);

  Book& book_of(const sim::PipeEnd& end) const { return *books_.at(&end.loop()); }
  bool is_awake(const sim::PipeEnd& end, Instant since) const;
  Duration beat() const { return plan_.endpoint.heartbeat; }

  sim::World& world_;
  const RunPlan& plan_;
  WireFaults faults_;
  std::map<const sim::NodeLoop*, Book*> books_;
  std::map<RequestId, Talk> talks_;
  std::map<GrantKey, GrantSeen> grants_;
  ByEnd<Beat> beats_;  ///< of every end that was given anything between peers
  ByEnd<FrameHeader> filling_;
  std::set<PartKey> refused_;  ///< bad parts that were placed: each may be asked for again
  ByEnd<std::uint32_t> goaways_;
  std::map<const sim::NodeLoop*, std::uint64_t> goaways_due_;
  Before before_;
  std::uint64_t refused_count_ = 0;
  bool retired_ = false;
};

}  // namespace sluice::transport::simtest
