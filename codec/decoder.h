// The decoder: verified frames of one unit back to rows in the engine's pages. Place in the flow: the decode session
// calls it for each verified slot of the staging ring. Invariants: any bytes give rows or a typed error; pages are
// written only after every check of every frame has passed; no float of this machine ever decides a symbol.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "base/result.h"
#include "codec/encoder.h"
#include "kernels/shape.h"
#include "kernels/table.h"

namespace sluice::codec {

/// Decodes units. Holds tables and scratch memory that grow to the largest unit seen, then stay.
/// Threads: one call at a time per object; any number of objects.
class Decoder {
 public:
  /// profile: the one whose frames can be decoded besides those without; it must outlive the decoder.
  static Result<Decoder> open(const kernels::KernelTable& kernels, const Profile* profile = nullptr);
  Decoder(Decoder&&) noexcept;
  Decoder& operator=(Decoder&&) noexcept;
  ~Decoder();

  /// frames: either the received stages of one unit in order (base, or base and refinement 1, or all three), or one
  /// raw, lossless or 8-bit frame. `expected` and `context` (rope, first position, with a profile first layer) must be
  /// what the headers say.
  /// Errors: those of parse_frame; kBadField when shape, rope, position, order or parent differ; kProfileMismatch;
  ///         kBadLength and kCorruptStream for payloads that lie. `out` is untouched on every error.
  /// Precondition: out.shape == expected.
  Result<void> decode(std::span<const std::span<const std::byte>> frames, const kernels::KvShape& expected,
                      const UnitContext& context, const kernels::MutableUnitView& out);

 private:
  struct State;
  explicit Decoder(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace sluice::codec
