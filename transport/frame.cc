#include "transport/frame.h"

#include "transport/checksum.h"

namespace sluice::transport {
namespace {

constexpr std::uint32_t kMagic = 0x31434C53U;  // "SLC1" as it lies in memory
constexpr std::size_t kChecksummed = kFrameHeaderSize - 4;

template <typename Int>
void store(FrameBytes& bytes, std::size_t at, Int value) {
  for (std::size_t byte = 0; byte < sizeof(Int); ++byte) {
    bytes[at + byte] = static_cast<std::byte>((static_cast<std::uint64_t>(value) >> (8U * byte)) & 0xFFU);
  }
}

template <typename Int>
Int load(std::span<const std::byte, kFrameHeaderSize> bytes, std::size_t at) {
  std::uint64_t value = 0;
  for (std::size_t byte = 0; byte < sizeof(Int); ++byte) {
    value |= static_cast<std::uint64_t>(std::to_integer<std::uint8_t>(bytes[at + byte])) << (8U * byte);
  }
  return static_cast<Int>(value);
}

}  // namespace

FrameBytes encode(const FrameHeader& header) {
  SLUICE_ASSERT(header.length.count() <= 0xFFFFFFFFU);
  FrameBytes bytes{};
  store(bytes, 0, kMagic);
  store(bytes, 4, static_cast<std::uint8_t>(kProtocolVersion));
  store(bytes, 5, static_cast<std::uint8_t>(header.type));
  store(bytes, 6, header.flags);
  store(bytes, 7, static_cast<std::uint8_t>(header.part));
  store(bytes, 8, header.epoch.value());
  store(bytes, 16, header.unit.request.value());
  store(bytes, 24, header.unit.chunk.value());
  store(bytes, 28, header.unit.group.value());
  store(bytes, 32, header.slot.value());
  store(bytes, 36, static_cast<std::uint32_t>(header.length.count()));
  store(bytes, 40, header.generation.value());
  store(bytes, 48, header.digest.value());
  store(bytes, kChecksummed, crc32c(std::span(bytes).first<kChecksummed>()));
  return bytes;
}

Result<FrameHeader> decode_frame(std::span<const std::byte, kFrameHeaderSize> bytes) {
  if (load<std::uint32_t>(bytes, 0) != kMagic) return Error{ErrorCode::kBadMagic, 0, "frame header"};
  if (load<std::uint32_t>(bytes, kChecksummed) != crc32c(bytes.first<kChecksummed>())) {
    return Error{ErrorCode::kDigestMismatch, 0, "frame header"};
  }
  if (load<std::uint8_t>(bytes, 4) != kProtocolVersion) return Error{ErrorCode::kBadVersion, 0, "frame header"};
  const auto part = load<std::uint8_t>(bytes, 7);
  if (!is_part(part)) return Error{ErrorCode::kBadField, part, "frame header part"};
  FrameHeader header;
  header.type = static_cast<MessageType>(load<std::uint8_t>(bytes, 5));
  header.flags = load<std::uint8_t>(bytes, 6);
  header.part = static_cast<Part>(part);
  header.epoch = Epoch(load<std::uint64_t>(bytes, 8));
  header.unit.request = RequestId(load<std::uint64_t>(bytes, 16));
  header.unit.chunk = ChunkIndex(load<std::uint32_t>(bytes, 24));
  header.unit.group = LayerGroupIndex(load<std::uint32_t>(bytes, 28));
  header.slot = SlotIndex(load<std::uint32_t>(bytes, 32));
  header.length = Bytes(load<std::uint32_t>(bytes, 36));
  header.generation = Generation(load<std::uint64_t>(bytes, 40));
  header.digest = ContentHash(load<std::uint64_t>(bytes, 48));
  return header;
}

Bytes max_payload(MessageType type) {
  switch (type) {
    case MessageType::kHello:
    case MessageType::kHelloAck:
    case MessageType::kHelloRefused:
      return kMaxHelloPayload;
    case MessageType::kData:
      return kMaxDataPayload;
    default:
      return kMaxControlPayload;
  }
}

ContentHash payload_digest(const FrameHeader& header, std::span<const std::byte> payload) {
  FrameHeader place = header;
  place.flags = 0;
  place.digest = ContentHash();
  const FrameBytes seed = encode(place);
  return ContentHash(xxh3(payload, xxh3(std::span(seed).first<kChecksummed>(), 0)));
}

}  // namespace sluice::transport
