// safetensors files: a length, a JSON header that names tensors, and their bytes. Place in the flow: `sluice codec`
// takes tensors in and gives them back in this form, so that any framework can check the codec. Invariants: the reader
// allocates nothing from a length in the file before it is bounded, copies no data, and accepts only files whose
// tensors lie gap-free and in bounds; whatever else a file holds is a typed error. Source of the form: the safetensors
// format description (8-byte little-endian header length, JSON object, data).
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/identity.h"
#include "base/result.h"
#include "integration/kv_planes.h"
#include "kernels/shape.h"

namespace sluice::integration {

inline constexpr std::uint64_t kMaxSafetensorsHeader = 1U << 20U;
inline constexpr std::size_t kMaxSafetensorsTensors = 4096;
inline constexpr std::size_t kMaxSafetensorsRank = 8;

/// One tensor: row-major, the last extent contiguous.
/// Ownership: data views the bytes of the file.
struct SafetensorsTensor {
  std::string name;
  kernels::DType dtype = kernels::DType::kF32;
  std::vector<std::uint64_t> extents;
  std::span<const std::byte> data;
};

/// A checked file.
/// Ownership: views the bytes it was parsed from.
struct SafetensorsView {
  std::vector<SafetensorsTensor> tensors;       ///< in the order of their data
  std::map<std::string, std::string> metadata;  ///< the header's __metadata__

  /// Nothing of that name: nullptr.
  const SafetensorsTensor* find(std::string_view name) const;
};

/// Errors:  kTruncated (shorter than it says), kBadLength (header beyond kMaxSafetensorsHeader, or tensors, ranks or
/// sizes
///          that do not add up), kBadField (not the JSON that the form asks for, a name given twice), kTrailingBytes
///          (data that no tensor names), kUnsupported (a dtype that no cache has).
/// Threads: pure.
Result<SafetensorsView> parse_safetensors(std::span<const std::byte> file);

/// A whole file with these tensors in this order; data must have the size that dtype and extents say (asserted).
/// Threads: pure.
std::vector<std::byte> write_safetensors(const SafetensorsView& content);

/// The cache of one prompt as the tensors "k" and "v" [layers, tokens, kv_heads, head_dim] and how K was rotated.
struct KvTensors {
  kernels::KvShape shape;
  kernels::RopeSpec rope;
  TokenIndex first_position;
  std::span<const std::byte> k;
  std::span<const std::byte> v;
};

/// Reads k, v and the metadata rope.style (pairs, halves or none), rope.base, rope.dims, rope.scaling (JSON: what a
/// model's config.json has under rope_scaling, of type linear, llama3 or yarn), rope.local_base and rope.local_period
/// (a base of their own for layers l with (l + 1) % period != 0), position.first. Without rope.style the rotation is
/// unknown (none); base defaults to 10000, dims to head_dim, position to 0.
/// Errors:  those of parse_safetensors; kNotFound (no k or v), kIncompatibleLayout (not four extents, k unlike v),
///          kBadField (metadata that is not a number, or out of bounds).
Result<KvTensors> read_kv_tensors(std::span<const std::byte> file);

/// The file that read_kv_tensors() reads back alike.
std::vector<std::byte> write_kv_tensors(const KvTensors& tensors);

/// Copies the tensors into planes of their own.  Errors: those of KvPlanes::allocate.
Result<KvPlanes> planes_of(const KvTensors& tensors);

}  // namespace sluice::integration
