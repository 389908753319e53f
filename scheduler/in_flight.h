// Parts that were granted and have not arrived, of all requests of one ingress, and the meter that reads the link's
// rate from their arrivals: a span counts only while the part that ends it was already being sent.
#pragma once

#include <optional>
#include <vector>

#include "base/clock.h"
#include "base/identity.h"
#include "base/quantity.h"

namespace sluice::scheduler {

/// What an arrival says of the link: `bytes` came in `span` of backlogged time.
struct Delivery {
  Bytes bytes;
  Duration span{0};
  /// It was waiting behind another part; otherwise the link had been idle, and the sender's delay is in the span.
  bool is_backlogged = false;
};

/// Threads: as its owner.
class InFlight {
 public:
  struct Entry {
    UnitKey unit;
    Part part = Part::kBase;
    Bytes bytes;
    /// One worker's time to decode it.
    Duration work{0};
    Instant granted;
  };

  void grant(const Entry& entry);
  /// Takes the part out; the delivery if it was there and the span is not negative.
  std::optional<Delivery> arrive(UnitKey unit, Part part, Duration rtt, Instant now);
  void fail(UnitKey unit, Part part, Instant now);
  /// Forgets all parts of a request that has ended.
  void drop(RequestId request);

  Bytes bytes() const { return bytes_; }
  /// Of those, what the link still has to carry if it is that fast: the part it is at has partly come.
  Bytes unsent(Duration rtt, BitsPerSecond rate, Instant now) const;
  /// Decode work that will follow from all of it.
  Duration work() const { return work_; }
  /// The longest decode that any one part of the request would still need; zero when none is in flight.
  Duration longest_work(RequestId request) const;
  std::size_t count() const { return parts_.size() - first_; }
  /// Since when the link has owed us something without delivering; never() when nothing is in flight.
  Instant owed_since(Duration rtt) const;

 private:
  std::vector<Entry>::iterator find(UnitKey unit, Part part);
  void take_out(std::vector<Entry>::iterator entry);
  std::vector<Entry>::const_iterator begin() const { return parts_.begin() + static_cast<std::ptrdiff_t>(first_); }

  /// In the order of grants, from `first_` on: links keep it, mostly, so what arrives is found in front.
  std::vector<Entry> parts_;
  std::size_t first_ = 0;
  Bytes bytes_;
  Duration work_{0};
  Instant last_arrival_;
};

}  // namespace sluice::scheduler
