// A prompt's KV planes to a .slk file and back, at a level. Place in the flow: `sluice codec`, recordings of the
// recorded engine. Invariants: every unit of the prompt is in the file at the same level; a file is decoded only when
// all of its units are there; what is allocated for a file is bounded by the caller, not by the file.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "base/identity.h"
#include "base/quantity.h"
#include "base/result.h"
#include "codec/container.h"
#include "codec/profile.h"
#include "integration/kv_planes.h"
#include "kernels/shape.h"
#include "kernels/table.h"

namespace sluice::integration {

/// How to write.
struct KvContainerOptions {
  kernels::RopeSpec rope;
  TokenIndex first_position;  ///< of the planes' first token
  Tokens chunk_tokens = Tokens(256);
  Layers group_layers = Layers(6);
  /// kRaw, kLossless, kInt8, or the last stage of the nested bitstream (kBase, kRefinement1, kRefinement2).
  Part level = Part::kLossless;
  /// For nested stages: a profile and the number of its level; nullptr for none.
  const codec::Profile* profile = nullptr;
  std::size_t profile_level = 0;
  ContentHash model;
};

/// One unit's place in a prompt.
struct UnitPlace {
  ChunkIndex chunk;
  LayerGroupIndex group;
  TokenRange tokens;
  LayerRange layers;
};

/// All units of a prompt, chunk by chunk.
/// Errors:  kInvalidArgument (chunk or group of zero, a chunk longer than frames allow, too many units).  Threads:
/// pure.
Result<std::vector<UnitPlace>> units_of(const codec::ContainerHeader& header);

/// The parts that a unit has at a level: one, or the base and its refinements up to the level, in order.  Threads:
/// pure.
std::span<const Part> parts_of_level(Part level);

/// The best level that a file holds of all of its units.
/// Errors:  kNotFound where units are missing.  Threads: pure.
Result<Part> level_of(const codec::ContainerView& file);

/// Errors:  kInvalidArgument (chunk or group of zero), kUnsupported (values that the level cannot hold), those of the
///          codec.
Result<std::vector<std::byte>> encode_rows(const kernels::KernelTable& kernels, const KvRows& rows,
                                           const KvContainerOptions& options);

/// What decode_planes() takes from the file, and with what.
struct KvDecoding {
  Part level = Part::kLossless;
  Bytes most;  ///< planes may not be larger
  const codec::Profile* profile = nullptr;
};

/// Decodes the parts of `how.level` of every unit into rows of the file's shape (asserted), whose size nobody but the
/// caller bounds; returns the position of the first token. Rows of units before a bad one may have been written.
/// Errors:  kNotFound (the file lacks units at that level), those of codec::Decoder.
Result<TokenIndex> decode_rows(const kernels::KernelTable& kernels, const codec::ContainerView& file,
                               const KvDecoding& how, const MutableKvRows& rows);

/// Rows of all units, and the position of the first token.
struct DecodedPlanes {
  KvPlanes planes;
  TokenIndex first_position;
};

/// The same into planes of their own.
/// Errors:  kNoMemory (larger than `most`), those of decode_rows().
Result<DecodedPlanes> decode_planes(const kernels::KernelTable& kernels, const codec::ContainerView& file,
                                    const KvDecoding& how);

}  // namespace sluice::integration
