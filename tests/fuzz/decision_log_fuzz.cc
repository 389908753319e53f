// Any bytes as a decision log: a typed error, or a replay that ends. Lengths and digests are repaired first, so that
// mutations reach the records and the policies behind them.
#include <cstdint>
#include <span>
#include <vector>

#include "base/assert.h"
#include "codec/byte_order.h"
#include "integration/decision_replay.h"
#include "kernels/table.h"

namespace {

constexpr std::size_t kHeaderSize = 12;
constexpr std::size_t kFrameSize = 8;

void repair(std::span<std::byte> log) {
  std::uint64_t number = 0;
  for (std::size_t at = kHeaderSize; at + kFrameSize < log.size(); ++number) {
    const std::size_t rest = log.size() - at - kFrameSize;
    const std::size_t size = sluice::codec::load<std::uint32_t>(log, at);
    if (size > rest) return;
    const std::uint64_t digest = sluice::kernels::ref_kernels().digest(log.subspan(at + kFrameSize, size), number);
    sluice::codec::store(log, at + 4, static_cast<std::uint32_t>(digest));
    at += kFrameSize + size;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::vector<std::byte> log(reinterpret_cast<const std::byte*>(data), reinterpret_cast<const std::byte*>(data) + size);
  repair(log);
  const sluice::integration::ReplayResult result = sluice::integration::replay(log);
  SLUICE_ASSERT(result.offset <= log.size());
  if (result.difference) SLUICE_ASSERT(!sluice::integration::describe(result.difference->logged.event).empty());
  return 0;
}
