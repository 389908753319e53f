#include "transport/message.h"

#include <algorithm>
#include <bit>

#include "transport/wire.h"

namespace sluice::transport {
namespace {

void put(WireWriter& out, ErrorCode code) { out.put(static_cast<std::uint16_t>(code)); }
void put(WireWriter& out, Duration span) { out.put(static_cast<std::uint64_t>(span.count())); }

// A code of a newer peer that we do not know is kept as it is: its number still says something in a log. kOk is none.
ErrorCode take_code(WireReader& in) {
  const auto code = in.take<std::uint16_t>();
  in.require(code != 0);
  return static_cast<ErrorCode>(code);
}

Duration take_duration(WireReader& in) {
  const auto count = in.take<std::uint64_t>();
  in.require(count <= static_cast<std::uint64_t>(Duration::max().count()));
  return in.failed() ? Duration(0) : Duration(static_cast<std::int64_t>(count));
}

void put(WireWriter& out, const PrefixKey& key) {
  out.put(key[0]);
  out.put(key[1]);
}

PrefixKey take_key(WireReader& in) {
  PrefixKey key{};
  key[0] = in.take<std::uint64_t>();
  key[1] = in.take<std::uint64_t>();
  return key;
}

void put(WireWriter& out, const std::vector<TokenId>& tokens) {
  SLUICE_ASSERT(tokens.size() <= kMaxPromptTokens);
  out.reserve(64 + tokens.size() * 4);
  out.put(static_cast<std::uint32_t>(tokens.size()));
  for (const TokenId token : tokens) out.put(static_cast<std::uint32_t>(token.value()));
}

std::vector<TokenId> take_tokens(WireReader& in) {
  const auto count = in.take<std::uint32_t>();
  if (count > kMaxPromptTokens) in.fail(ErrorCode::kBadLength);
  // Against the bytes that are there before any memory is taken.
  if (static_cast<std::uint64_t>(count) * 4 > in.remaining()) in.fail(ErrorCode::kTruncated);
  std::vector<TokenId> tokens;
  if (in.failed()) return tokens;
  tokens.reserve(count);
  for (std::uint32_t at = 0; at < count; ++at) {
    tokens.emplace_back(static_cast<std::int32_t>(in.take<std::uint32_t>()));
  }
  return tokens;
}

}  // namespace

std::vector<std::byte> encode(const Hello& message) {
  SLUICE_ASSERT(message.identity.name.size() <= kMaxNodeName);
  SLUICE_ASSERT(message.data_address.size() <= kMaxDataAddress);
  WireWriter out;
  out.put(message.version_min);
  out.put(message.version_max);
  out.put_text(message.identity.name);
  out.put(message.identity.epoch.value());
  out.put(message.identity.model.value());
  out.put(message.identity.layout.value());
  out.put(message.identity.engine.value());
  out.put(message.identity.rope.value());
  out.put(message.identity.profile.value());
  out.put(message.capabilities);
  out.put(message.max_frame.count());
  out.put(message.ring.count());
  put(out, message.heartbeat);
  out.put(message.data_key);
  out.put(static_cast<std::uint16_t>(message.data_address.size()));
  out.put_bytes(message.data_address);
  return out.take();
}

Result<Hello> decode_hello(std::span<const std::byte> payload) {
  WireReader in(payload);
  Hello message;
  message.version_min = in.take<std::uint16_t>();
  message.version_max = in.take<std::uint16_t>();
  in.require(message.version_min <= message.version_max);
  message.identity.name = in.take_text(kMaxNodeName);
  message.identity.epoch = Epoch(in.take<std::uint64_t>());
  message.identity.model = ContentHash(in.take<std::uint64_t>());
  message.identity.layout = ContentHash(in.take<std::uint64_t>());
  message.identity.engine = ContentHash(in.take<std::uint64_t>());
  message.identity.rope = ContentHash(in.take<std::uint64_t>());
  message.identity.profile = ContentHash(in.take<std::uint64_t>());
  message.capabilities = in.take<std::uint64_t>();
  message.max_frame = Bytes(in.take<std::uint64_t>());
  message.ring = Bytes(in.take<std::uint64_t>());
  message.heartbeat = take_duration(in);
  message.data_key = in.take<std::uint64_t>();
  const std::span<const std::byte> address = in.take_bytes(in.take_length(kMaxDataAddress));
  message.data_address.assign(address.begin(), address.end());
  return in.finish(std::move(message), "hello");
}

std::vector<std::byte> encode(const HelloRefused& message) {
  SLUICE_ASSERT(message.field.size() <= kMaxFieldName);
  WireWriter out;
  put(out, message.code);
  out.put_text(message.field);
  return out.take();
}

Result<HelloRefused> decode_hello_refused(std::span<const std::byte> payload) {
  WireReader in(payload);
  HelloRefused message;
  message.code = take_code(in);
  message.field = in.take_text(kMaxFieldName);
  return in.finish(std::move(message), "hello_refused");
}

std::vector<std::byte> encode(const Announce& message) {
  WireWriter out;
  put(out, message.prefix);
  put(out, message.remaining);
  put(out, message.tokens);
  return out.take();
}

Result<Announce> decode_announce(RequestId request, std::span<const std::byte> payload) {
  WireReader in(payload);
  Announce message;
  message.request = request;
  message.prefix = take_key(in);
  message.remaining = take_duration(in);
  message.tokens = take_tokens(in);
  return in.finish(std::move(message), "announce");
}

std::vector<std::byte> encode(const OpenRequest& message) {
  WireWriter out;
  put(out, message.prefix);
  out.put(static_cast<std::uint8_t>(message.mode));
  put(out, message.remaining);
  put(out, message.tokens);
  return out.take();
}

Result<OpenRequest> decode_open(RequestId request, std::span<const std::byte> payload) {
  WireReader in(payload);
  OpenRequest message;
  message.request = request;
  message.prefix = take_key(in);
  const auto mode = in.take<std::uint8_t>();
  in.require(mode <= static_cast<std::uint8_t>(OpenMode::kReuse));
  message.mode = static_cast<OpenMode>(mode);
  message.remaining = take_duration(in);
  message.tokens = take_tokens(in);
  return in.finish(std::move(message), "open");
}

std::vector<std::byte> encode(const OpenAck& message) {
  WireWriter out;
  out.put(static_cast<std::uint32_t>(message.layout.layers.count()));
  out.put(static_cast<std::uint32_t>(message.layout.kv_heads.count()));
  out.put(static_cast<std::uint32_t>(message.layout.head_dim.count()));
  out.put(message.layout.dtype);
  out.put(message.layout.rope_style);
  out.put(message.layout.rope_dims);
  out.put(std::bit_cast<std::uint64_t>(message.layout.rope_base));
  out.put(static_cast<std::uint32_t>(message.tokens.count()));
  out.put(static_cast<std::uint32_t>(message.chunk_tokens.count()));
  out.put(static_cast<std::uint32_t>(message.group_layers.count()));
  out.put(static_cast<std::uint32_t>(message.units.count()));
  return out.take();
}

Result<OpenAck> decode_open_ack(std::span<const std::byte> payload) {
  WireReader in(payload);
  OpenAck message;
  message.layout.layers = Layers(in.take<std::uint32_t>());
  message.layout.kv_heads = Heads(in.take<std::uint32_t>());
  message.layout.head_dim = HeadDim(in.take<std::uint32_t>());
  message.layout.dtype = in.take<std::uint8_t>();
  message.layout.rope_style = in.take<std::uint8_t>();
  message.layout.rope_dims = in.take<std::uint32_t>();
  message.layout.rope_base = std::bit_cast<double>(in.take<std::uint64_t>());
  message.tokens = Tokens(in.take<std::uint32_t>());
  message.chunk_tokens = Tokens(in.take<std::uint32_t>());
  message.group_layers = Layers(in.take<std::uint32_t>());
  message.units = Units(in.take<std::uint32_t>());
  in.require(is_sound(message) || in.failed());
  return in.finish(std::move(message), "open_ack");
}

std::vector<std::byte> encode(const Reject& message) {
  WireWriter out;
  put(out, message.code);
  put(out, message.retry_after);
  return out.take();
}

Result<Reject> decode_reject(std::span<const std::byte> payload) {
  WireReader in(payload);
  Reject message;
  message.code = take_code(in);
  message.retry_after = take_duration(in);
  return in.finish(std::move(message), "reject");
}

std::vector<std::byte> encode(const Offer& message) {
  SLUICE_ASSERT(message.parts.size() <= kMaxOfferedParts);
  WireWriter out;
  out.put(static_cast<std::uint16_t>(message.parts.size()));
  for (const PartSize& part : message.parts) {
    out.put(static_cast<std::uint8_t>(part.part));
    out.put(part.size.count());
  }
  return out.take();
}

Result<Offer> decode_offer(UnitKey unit, std::span<const std::byte> payload) {
  WireReader in(payload);
  Offer message;
  message.unit = unit;
  const std::size_t count = in.take_length(kMaxOfferedParts);
  for (std::size_t at = 0; at < count; ++at) {
    const auto part = in.take<std::uint8_t>();
    in.require(is_part(part));
    const Bytes size(in.take<std::uint64_t>());
    if (size > kMaxDataPayload) in.fail(ErrorCode::kBadLength);
    message.parts.push_back(PartSize{static_cast<Part>(part), size});
  }
  return in.finish(std::move(message), "offer");
}

std::vector<std::byte> encode(const Grant& message) {
  WireWriter out;
  out.put(message.max_length.count());
  put(out, message.lease);
  return out.take();
}

Result<Grant> decode_grant(std::span<const std::byte> payload) {
  WireReader in(payload);
  Grant message;
  message.max_length = Bytes(in.take<std::uint64_t>());
  if (message.max_length > kMaxDataPayload) in.fail(ErrorCode::kBadLength);
  message.lease = take_duration(in);
  return in.finish(std::move(message), "grant");
}

std::vector<std::byte> encode(const Seal& message) {
  WireWriter out;
  out.put(message.units.count());
  return out.take();
}

Result<Seal> decode_seal(std::span<const std::byte> payload) {
  WireReader in(payload);
  Seal message;
  message.units = Units(in.take<std::uint64_t>());
  return in.finish(std::move(message), "seal");
}

std::vector<std::byte> encode(const Reason& message) {
  WireWriter out;
  put(out, message.code);
  return out.take();
}

Result<Reason> decode_reason(std::span<const std::byte> payload) {
  WireReader in(payload);
  Reason message;
  message.code = take_code(in);
  return in.finish(std::move(message), "reason");
}

std::vector<std::byte> encode(const Ping& message) {
  WireWriter out;
  out.put(message.sequence);
  put(out, message.sent);
  out.put(message.queued.count());
  return out.take();
}

Result<Ping> decode_ping(std::span<const std::byte> payload) {
  WireReader in(payload);
  Ping message;
  message.sequence = in.take<std::uint64_t>();
  message.sent = take_duration(in);
  message.queued = Bytes(in.take<std::uint64_t>());
  return in.finish(std::move(message), "ping");
}

bool is_part(std::uint8_t number) {
  switch (static_cast<Part>(number)) {
    case Part::kBase:
    case Part::kRefinement1:
    case Part::kRefinement2:
    case Part::kRefinement3:
    case Part::kRaw:
    case Part::kLossless:
    case Part::kInt8:
      return true;
  }
  return false;
}

bool is_sound(const OpenAck& shape) {
  // Limits chosen above any model we know of, low enough that no product below can wrap.
  constexpr std::uint64_t kMaxLayers = 4096;
  constexpr std::uint64_t kMaxRow = 1U << 20U;
  constexpr std::uint64_t kMaxDType = 4;
  constexpr std::uint64_t kMaxRopeStyle = 2;
  const std::uint64_t layers = shape.layout.layers.count();
  const std::uint64_t heads = shape.layout.kv_heads.count();
  const std::uint64_t dim = shape.layout.head_dim.count();
  if (layers == 0 || layers > kMaxLayers || heads == 0 || heads > kMaxRow || dim == 0 || dim > kMaxRow) return false;
  if (heads * dim > kMaxRow || shape.layout.dtype > kMaxDType || shape.layout.rope_style > kMaxRopeStyle) return false;
  if (shape.tokens.is_zero() || shape.tokens.count() > kMaxPromptTokens) return false;
  if (shape.chunk_tokens.is_zero() || shape.group_layers.is_zero()) return false;
  return shape.units == units_of(shape);
}

Units units_of(const OpenAck& shape) {
  const std::uint64_t chunks = (shape.tokens.count() + shape.chunk_tokens.count() - 1) / shape.chunk_tokens.count();
  const std::uint64_t groups =
      (shape.layout.layers.count() + shape.group_layers.count() - 1) / shape.group_layers.count();
  return Units(chunks * groups);
}

Bytes raw_size(const OpenAck& shape, UnitKey unit) {
  constexpr std::array<std::uint64_t, 5> kDTypeSize{4, 2, 2, 1, 1};
  SLUICE_ASSERT(shape.layout.dtype < kDTypeSize.size());
  const std::uint64_t first_token = unit.chunk.value() * shape.chunk_tokens.count();
  const std::uint64_t first_layer = unit.group.value() * shape.group_layers.count();
  if (first_token >= shape.tokens.count() || first_layer >= shape.layout.layers.count()) return Bytes(0);
  const std::uint64_t tokens = std::min(shape.tokens.count() - first_token, shape.chunk_tokens.count());
  const std::uint64_t layers = std::min(shape.layout.layers.count() - first_layer, shape.group_layers.count());
  const std::uint64_t row = shape.layout.kv_heads.count() * shape.layout.head_dim.count();
  return Bytes(2 * tokens * layers * row * kDTypeSize[shape.layout.dtype]);
}

}  // namespace sluice::transport
