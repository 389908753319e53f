// The encoder: rows of one unit to frames. Place in the flow: the prefill session calls it once per unit as the engine
// finishes layers. K is turned back by RoPE where that is known; then, without a profile (tier T0 of FORMAT.md section
// 5), every channel loses its mean, is quantised in three nested steps and entropy-coded by fixed tables; with one,
// means, transform, steps and classes are the profile's, at one of its levels. Invariants: sizes are bounded before
// encoding; the same input gives the same bytes on one machine.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <span>

#include "base/identity.h"
#include "base/quantity.h"
#include "base/result.h"
#include "codec/profile.h"
#include "kernels/shape.h"
#include "kernels/table.h"

namespace sluice::codec {

/// Where a unit stands in its request. Both sides know it; frames carry what the decoder must check.
struct UnitContext {
  kernels::RopeSpec rope;
  /// Position of the unit's first token in the request.
  TokenIndex first_position;
  /// Tokens of the whole prompt. Encoder only: says which tokens are the newest.
  Tokens request_tokens;
  /// The unit's first layer in the model; only profiles ask for it.
  LayerIndex first_layer;
};

/// How coarse the base is and what is protected. The defaults were tuned on SmolLM2-135M (docs in FORMAT.md section 5).
struct EncoderOptions {
  /// Base step of K and V relative to the rms of a head's residual.
  float key_step = 1.1F;
  float value_step = 2.0F;
  /// First tokens of the request that stay raw (sinks), and newest tokens that are coded at half the step.
  Tokens raw_first = Tokens(1);
  Tokens fine_newest = Tokens(32);
  /// Profile, which must outlive the encoder, and the number of its level; nullptr for none (the two steps then count).
  const Profile* profile = nullptr;
  std::size_t level = 0;
};

/// Errors: kInvalidArgument for steps outside (0, 16] and levels that the profile does not have.  Threads: pure.
Result<void> check_options(const EncoderOptions& options);

/// One part inside the buffer that encode() filled.
struct EncodedPart {
  Part part = Part::kBase;
  Bytes offset;
  Bytes size;
};

/// base, refinement 1, refinement 2, one after the other; with a profile as many as its level has.
struct EncodedUnit {
  std::array<EncodedPart, kNestedStages> all;
  std::size_t stages = kNestedStages;
  std::span<const EncodedPart> parts() const { return std::span(all).first(stages); }
  Bytes total() const { return parts().back().offset + parts().back().size; }
};

/// Encodes units. Holds tables and scratch memory that grow to the largest unit seen, then stay.
/// Threads: one call at a time per object; any number of objects.
class Encoder {
 public:
  /// Errors: those of check_options.
  static Result<Encoder> open(const kernels::KernelTable& kernels, const EncoderOptions& options);
  Encoder(Encoder&&) noexcept;
  Encoder& operator=(Encoder&&) noexcept;
  ~Encoder();

  /// Most bytes that a part of such a unit can take, whatever the values.  Threads: pure.
  static Bytes max_encoded_size(const kernels::KvShape& shape, Part part);
  /// The same for all nested stages together.  Threads: pure.
  static Bytes max_nested_size(const kernels::KvShape& shape);

  /// All nested stages at once.
  /// Errors: kUnsupported when a value is NaN or infinite (or so far off that the level's steps do not reach it): send
  ///         such a unit lossless or raw. kProfileMismatch when the profile is of another model.
  /// Precondition: out.size() >= max_nested_size(unit.shape); shape within the bounds of frame.h.
  Result<EncodedUnit> encode(const kernels::UnitView& unit, const UnitContext& context, std::span<std::byte> out);

  /// Rows as they are; returns the size. Precondition: out.size() >= max_encoded_size(shape, Part::kRaw).
  Result<Bytes> encode_raw(const kernels::UnitView& unit, const UnitContext& context, std::span<std::byte> out);
  /// Bit-exact for every value of every dtype; never larger than raw by more than 8 bytes.
  Result<Bytes> encode_lossless(const kernels::UnitView& unit, const UnitContext& context, std::span<std::byte> out);
  /// One byte a value and one fp16 scale per token and head. Errors: kUnsupported for NaN, infinity or a scale beyond
  /// fp16.
  Result<Bytes> encode_int8(const kernels::UnitView& unit, const UnitContext& context, std::span<std::byte> out);

 private:
  struct State;
  explicit Encoder(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace sluice::codec
