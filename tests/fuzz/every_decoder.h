// One decoder for each kernel table of this machine: whatever the bytes are, all of them give the same rows or the same
// error, and write no page on error.
#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include "base/assert.h"
#include "codec/decoder.h"
#include "tests/fuzz/frame_pages.h"

/// Costly to build (tables of megabytes): a fuzz target makes one.
class EveryDecoder {
 public:
  explicit EveryDecoder(const sluice::codec::Profile* profile) {
    for (const sluice::kernels::KernelTable& table : sluice::kernels::available_kernels()) {
      decoders_.push_back(*sluice::codec::Decoder::open(table, profile));
    }
  }

  /// Decodes frames as what the first one's header says of itself; stops the program where two tables differ.
  void decode(std::span<const std::span<const std::byte>> frames, const sluice::codec::FrameHeader& header) {
    const sluice::codec::UnitContext context{
        .rope = header.rope, .first_position = header.first_position, .first_layer = header.first_layer};
    std::vector<Outcome> outcomes;
    for (sluice::codec::Decoder& decoder : decoders_) {
      FramePages pages(header.shape);
      const auto decoded = decoder.decode(frames, header.shape, context, {header.shape, pages.k, pages.v});
      const bool is_untouched =
          std::all_of(pages.memory.begin(), pages.memory.end(), [](std::byte byte) { return byte == kPageCanary; });
      SLUICE_ASSERT(decoded.has_value() || is_untouched);
      outcomes.push_back({decoded.has_value(), decoded.has_value() ? sluice::ErrorCode{} : decoded.error().code,
                          std::move(pages.memory)});
    }
    for (const Outcome& outcome : outcomes) SLUICE_ASSERT(outcome == outcomes.front());
  }

 private:
  struct Outcome {
    bool decoded = false;
    sluice::ErrorCode error{};
    std::vector<std::byte> memory;
    bool operator==(const Outcome&) const = default;
  };
  std::vector<sluice::codec::Decoder> decoders_;
};
