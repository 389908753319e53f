// Any bytes as one frame of a peer: a typed error or a value, never more. The header's checksum is repaired first, so
// that mutations reach the payload decoders behind it; what decodes must encode to the same bytes again.
#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "base/assert.h"
#include "transport/checksum.h"
#include "transport/frame.h"
#include "transport/message.h"

namespace {

using namespace sluice::transport;  // NOLINT(google-build-using-namespace): a test program of this one library

using Payload = std::span<const std::byte>;

template <typename T>
void check_again(const sluice::Result<T>& decoded, Payload payload) {
  if (!decoded) {
    const auto code = static_cast<int>(decoded.error().code);
    SLUICE_ASSERT(code >= 200 && code < 300);
    return;
  }
  const std::vector<std::byte> again = encode(*decoded);
  SLUICE_ASSERT(std::equal(again.begin(), again.end(), payload.begin(), payload.end()));
}

void decode_as(const FrameHeader& header, Payload payload) {
  switch (header.type) {
    case MessageType::kHello:
    case MessageType::kHelloAck:
      return check_again(decode_hello(payload), payload);
    case MessageType::kHelloRefused:
      return check_again(decode_hello_refused(payload), payload);
    case MessageType::kAnnounce:
      return check_again(decode_announce(header.unit.request, payload), payload);
    case MessageType::kOpen:
      return check_again(decode_open(header.unit.request, payload), payload);
    case MessageType::kOpenAck:
      return check_again(decode_open_ack(payload), payload);
    case MessageType::kReject:
      return check_again(decode_reject(payload), payload);
    case MessageType::kOffer:
      return check_again(decode_offer(header.unit, payload), payload);
    case MessageType::kGrant:
      return check_again(decode_grant(payload), payload);
    case MessageType::kSeal:
      return check_again(decode_seal(payload), payload);
    case MessageType::kFailed:
    case MessageType::kAbort:
    case MessageType::kGoaway:
      return check_again(decode_reason(payload), payload);
    case MessageType::kPing:
    case MessageType::kPong:
      return check_again(decode_ping(payload), payload);
    default:
      return;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < kFrameHeaderSize) return 0;
  const std::span<const std::byte> bytes = std::as_bytes(std::span(data, size));
  FrameBytes header_bytes{};
  std::copy_n(bytes.begin(), kFrameHeaderSize, header_bytes.begin());
  (void)decode_frame(header_bytes);
  const std::uint32_t checksum = crc32c(std::span(header_bytes).first<kFrameHeaderSize - 4>());
  for (std::size_t at = 0; at < 4; ++at) {
    header_bytes[kFrameHeaderSize - 4 + at] = static_cast<std::byte>((checksum >> (8 * at)) & 0xFFU);
  }
  const auto header = decode_frame(header_bytes);
  if (!header) return 0;
  const Payload payload = bytes.subspan(kFrameHeaderSize);
  (void)payload_digest(*header, payload);
  decode_as(*header, payload);
  return 0;
}
