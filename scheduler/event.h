// What a policy is told. Times are passed beside the event, never inside it, except the request's own deadline.
// The list is closed. Events about unknown or finished requests are ignored, so late signals are harmless.
#pragma once

#include <cstdint>
#include <optional>
#include <variant>

#include "base/clock.h"
#include "base/identity.h"
#include "base/quantity.h"
#include "scheduler/cost.h"
#include "scheduler/part_set.h"
#include "scheduler/quality.h"

namespace sluice::scheduler {

/// kHandOver: units appear while the peer prefills. kReuse: the peer has them already.
enum class Mode : std::uint8_t { kHandOver, kReuse };
/// A late delivery goes on while it is sooner than recompute, whichever it is. kHard bounds that: without recompute the
/// request ends at its deadline, with it at the latest when it is late by four recomputes.
enum class DeadlineKind : std::uint8_t { kHard, kSoft };

/// A prompt's KV is wanted. Must be the first event of a request.
struct RequestOpened {
  RequestId request;
  /// KV must be published to the engine by then.
  Instant deadline;
  DeadlineKind deadline_kind = DeadlineKind::kHard;
  Mode mode = Mode::kReuse;
  /// No unit may be published below it.
  PartsPerMillion quality_floor{0};
  /// Mean over units at which more bytes are not worth any time. Never below the floor.
  PartsPerMillion quality_target{1'000'000};
  Tokens tokens;
  /// Time this node would need to prefill it all itself; Duration::max() when it cannot.
  Duration recompute = Duration::max();
  /// Parts that are of any use here. One that is not wanted is treated as not offered, by every policy; so is a stage
  /// above one that is not wanted.
  PartTable<bool> wanted = PartTable<bool>(true);
  /// Of the profile that the request's units are coded with; none: the one in the policy's options.
  std::optional<QualityCurve> quality;
  /// What prefill costs this node. With it, where the policy's options allow, the front of the prompt is computed here
  /// while its back arrives.
  std::optional<PrefillCost> prefill;
};
/// The peer accepted: what it will offer. chunks x groups units, `raw` bytes of rows in all.
struct Accepted {
  RequestId request;
  std::uint32_t chunks = 0;
  std::uint32_t groups = 0;
  Bytes raw;
};
/// A unit exists at the peer. May come again for the same unit with further parts; a size once given does not change.
struct Offered {
  UnitKey unit;
  /// The unit's rows as the engine holds them.
  Bytes raw;
  PartSizes sizes;
};
/// A granted part is here and verified. `bytes` is its wire size.
struct PartArrived {
  UnitKey unit;
  Part part = Part::kBase;
  Bytes bytes;
};
/// A granted part will not come or was refused (digest, lease, no slot). It may be granted again.
struct PartFailed {
  UnitKey unit;
  Part part = Part::kBase;
};
/// The peer has offered all its units.
struct Sealed {
  RequestId request;
  Units units;
};
/// Delivery of `bytes` took `duration`, on the wire, while more was waiting to be sent. Optional: policies also meter
/// PartArrived themselves; send these where arrival is seen in finer grain than parts.
struct LinkSample {
  Bytes bytes;
  Duration duration{0};
};
/// This node has computed the KV of all of the request's chunks up to and with this one, as it was asked to.
struct ChunkComputed {
  RequestId request;
  ChunkIndex chunk;
};
struct RttSample {
  Duration rtt{0};
};
/// A worker spent `spent` on decoding `part` of a unit of `rows`, all stages below it included. What decode really
/// costs here and now; the options' figures are only where it starts.
struct DecodeSample {
  Part part = Part::kBase;
  Bytes rows;
  Duration spent{0};
  /// Decodes that wait or run besides it.
  std::uint32_t waiting = 0;
};
/// The request is over for another reason (peer lost, cancelled, ended by the caller). No action follows for it.
struct RequestClosed {
  RequestId request;
};
/// Time has passed: sent at wake_at(), harmless at any other time.
struct Tick {};

using Event = std::variant<RequestOpened, Accepted, Offered, PartArrived, PartFailed, Sealed, LinkSample, RttSample,
                           DecodeSample, ChunkComputed, RequestClosed, Tick>;

}  // namespace sluice::scheduler
