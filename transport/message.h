// What two nodes say to each other, as values, and their encodings (PROTOCOL.md). A frame is a FrameHeader (frame.h)
// and one of these payloads. Parsing is bounded: every length is checked against a named limit before memory is taken,
// and every decoder must consume its payload to the last byte. No I/O here.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/identity.h"
#include "base/quantity.h"
#include "base/result.h"

namespace sluice::transport {

/// Pinned: these numbers are on the wire. R = sent by the receiver of KV, S = by its sender, B = by both.
enum class MessageType : std::uint8_t {
  kHello = 1,         ///< B, first frame of the connecting side
  kHelloAck = 2,      ///< B, the answer of the listening side
  kHelloRefused = 3,  ///< B, names the first field that differs
  kAnnounce = 8,      ///< S "I hold this; please open it"
  kOpen = 9,          ///< R
  kOpenAck = 10,      ///< S
  kReject = 11,       ///< S
  kOffer = 12,        ///< S
  kGrant = 13,        ///< R
  kData = 14,         ///< S, the only frame whose payload lands in the ring
  kSeal = 15,         ///< S
  kDone = 16,         ///< R
  kDoneAck = 17,      ///< S
  kFailed = 18,       ///< S
  kAbort = 19,        ///< R
  kAbortAck = 20,     ///< S
  kPing = 32,         ///< B
  kPong = 33,         ///< B
  kGoaway = 34,       ///< B, no new requests please
};

/// Limits of parsing. Anything beyond is kBadLength, decided before memory is taken.
inline constexpr Bytes kMaxHelloPayload{4096 - 64};
inline constexpr Bytes kMaxControlPayload{1U << 20U};
inline constexpr Bytes kMaxDataPayload{256U << 20U};
inline constexpr std::size_t kMaxNodeName = 128;
inline constexpr std::size_t kMaxDataAddress = 2048;
inline constexpr std::size_t kMaxPromptTokens = 131072;
inline constexpr std::size_t kMaxOfferedParts = 8;
inline constexpr std::size_t kMaxFieldName = 64;
inline constexpr std::uint16_t kProtocolVersion = 1;

/// Who a node is and what its KV means. Peers differing in a stated hash refuse each other by name of the field.
struct NodeIdentity {
  std::string name;
  Epoch epoch;
  /// Each: 0 = not stated, as by a store, which carries any model's KV. What is stated on both sides must agree.
  ContentHash model;
  ContentHash layout;
  ContentHash engine;
  ContentHash rope;
  /// What the sender's coded parts need to be decoded, and what it can decode; 0 = a store, which decodes nothing.
  ContentHash profile;
  bool operator==(const NodeIdentity&) const = default;
};

/// Capability bits of a Hello.
inline constexpr std::uint64_t kCapabilityUcx = 1U;
inline constexpr std::uint64_t kCapabilityShm = 2U;

/// The greeting of either side: what it is, what it can, how its data fabric is reached.
struct Hello {
  std::uint16_t version_min = kProtocolVersion;
  std::uint16_t version_max = kProtocolVersion;
  NodeIdentity identity;
  std::uint64_t capabilities = 0;
  /// Largest DATA payload that this side takes, and the size of its ring.
  Bytes max_frame;
  Bytes ring;
  Duration heartbeat{0};
  /// How to reach this side over the data fabric: its key in every data frame, and its fabric address.
  std::uint64_t data_key = 0;
  std::vector<std::byte> data_address;
  bool operator==(const Hello&) const = default;
};

/// Why the listening side will not talk: the first field that differs.
struct HelloRefused {
  ErrorCode code = ErrorCode::kOk;
  std::string field;
  bool operator==(const HelloRefused&) const = default;
};

/// The KV at the sender wants to be fetched: it will accept an Open with this key.
struct Announce {
  RequestId request;  ///< a number of the announcing side, for its own book-keeping; the opener chooses its own
  PrefixKey prefix{};
  Duration remaining{0};
  std::vector<TokenId> tokens;
  bool operator==(const Announce&) const = default;
};

/// Pinned.
enum class OpenMode : std::uint8_t { kHandOver = 0, kReuse = 1 };

/// One request: which KV is wanted, and until when.
struct OpenRequest {
  RequestId request;
  PrefixKey prefix{};
  OpenMode mode = OpenMode::kHandOver;
  /// Until the hard end of the request. The receiver fails it with kDeadlineMissed then; a planner's soft target may
  /// be earlier.
  Duration remaining{0};
  std::vector<TokenId> tokens;
  bool operator==(const OpenRequest&) const = default;
};

/// What the KV of a request looks like. `dtype` and `rope_style` carry the pinned numbers of kernels/shape.h.
struct KvLayout {
  Layers layers;
  Heads kv_heads;
  HeadDim head_dim;
  std::uint8_t dtype = 0;
  std::uint8_t rope_style = 0;
  std::uint32_t rope_dims = 0;
  double rope_base = 0.0;
  bool operator==(const KvLayout&) const = default;
};

/// The extent of an accepted request and how it is cut into units.
struct OpenAck {
  KvLayout layout;
  Tokens tokens;
  Tokens chunk_tokens;
  Layers group_layers;
  /// Chunks x layer groups of the whole request.
  Units units;
  bool operator==(const OpenAck&) const = default;
};

/// The request is not taken; try again after so long, or elsewhere.
struct Reject {
  ErrorCode code = ErrorCode::kRejected;
  Duration retry_after{0};
  bool operator==(const Reject&) const = default;
};

/// One part that can be granted, and its size.
struct PartSize {
  Part part = Part::kBase;
  Bytes size;
  bool operator==(const PartSize&) const = default;
};

/// A unit exists at the sender; `parts` can be granted now. May be offered again when more parts exist.
struct Offer {
  UnitKey unit;
  std::vector<PartSize> parts;
  bool operator==(const Offer&) const = default;
};

/// The right to fill one slot once. In the frame's header: unit, part, slot, generation.
struct Grant {
  Bytes max_length;
  Duration lease{0};
  bool operator==(const Grant&) const = default;
};

/// Every unit of the request has been offered.
struct Seal {
  Units units;
  bool operator==(const Seal&) const = default;
};

/// FAILED, ABORT and GOAWAY: why.
struct Reason {
  ErrorCode code = ErrorCode::kAborted;
  bool operator==(const Reason&) const = default;
};

/// PING, and the PONG that returns it. `sent` is the pinging side's own time; `queued` is the answering side's load.
struct Ping {
  std::uint64_t sequence = 0;
  Duration sent{0};
  Bytes queued;
  bool operator==(const Ping&) const = default;
};

/// Appends nothing and returns the whole payload. Values must be within the limits above (asserted).
/// Threads: pure.
std::vector<std::byte> encode(const Hello& message);
std::vector<std::byte> encode(const HelloRefused& message);
std::vector<std::byte> encode(const Announce& message);
std::vector<std::byte> encode(const OpenRequest& message);
std::vector<std::byte> encode(const OpenAck& message);
std::vector<std::byte> encode(const Reject& message);
std::vector<std::byte> encode(const Offer& message);
std::vector<std::byte> encode(const Grant& message);
std::vector<std::byte> encode(const Seal& message);
std::vector<std::byte> encode(const Reason& message);
std::vector<std::byte> encode(const Ping& message);

/// Decode one payload. Ids that travel in the frame's header are given by the caller.
/// Errors: kTruncated, kTrailingBytes, kBadLength, kBadField; never anything else, for any bytes.
/// Threads: pure.
Result<Hello> decode_hello(std::span<const std::byte> payload);
Result<HelloRefused> decode_hello_refused(std::span<const std::byte> payload);
Result<Announce> decode_announce(RequestId request, std::span<const std::byte> payload);
Result<OpenRequest> decode_open(RequestId request, std::span<const std::byte> payload);
Result<OpenAck> decode_open_ack(std::span<const std::byte> payload);
Result<Reject> decode_reject(std::span<const std::byte> payload);
Result<Offer> decode_offer(UnitKey unit, std::span<const std::byte> payload);
Result<Grant> decode_grant(std::span<const std::byte> payload);
Result<Seal> decode_seal(std::span<const std::byte> payload);
Result<Reason> decode_reason(std::span<const std::byte> payload);
Result<Ping> decode_ping(std::span<const std::byte> payload);

/// Is this the number of a Part?  Threads: pure.
bool is_part(std::uint8_t number);

/// Are all extents there, within limits, and is `units` chunks x layer groups?  Threads: pure.
bool is_sound(const OpenAck& shape);

/// Chunks x layer groups.  Precondition: chunk_tokens and group_layers are not zero.  Threads: pure.
Units units_of(const OpenAck& shape);

/// Size of a unit's rows as an engine holds them (K and V, no padding); zero for a unit outside the request.
/// Threads: pure.
Bytes raw_size(const OpenAck& shape, UnitKey unit);

}  // namespace sluice::transport
