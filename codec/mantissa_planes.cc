#include "codec/mantissa_planes.h"

#include <algorithm>
#include <cstring>

#include "base/assert.h"

namespace sluice::codec {
namespace {

template <typename Code, unsigned kBits>
struct Planes {
  static constexpr unsigned kWhole = kBits / 8;
  static constexpr unsigned kRest = kBits % 8;
  static constexpr std::size_t kBlock = 8;

  static Code at(const std::byte* rows, std::size_t i) {
    Code code;
    std::memcpy(&code, rows + i * sizeof(Code), sizeof(Code));
    return code;
  }

  static std::size_t size(std::size_t values) { return kWhole * values + (values + kBlock - 1) / kBlock * kRest; }

  static void split(const std::byte* rows, StreamExtent extent, std::uint16_t* tops) {
    constexpr std::size_t kStrip = 16;
    for (std::size_t c = 0; c < extent.width; c += kStrip) {
      const std::size_t strip = std::min(kStrip, extent.width - c);
      for (std::size_t t = 0; t < extent.tokens; ++t) {
        for (std::size_t k = 0; k < strip; ++k) {
          tops[(c + k) * extent.tokens + t] = static_cast<std::uint16_t>(at(rows, t * extent.width + c + k) >> kBits);
        }
      }
    }
  }

  static void pack(const std::byte* rows, std::size_t values, std::byte* out) {
    for (unsigned plane = 0; plane < kWhole; ++plane) {
      for (std::size_t i = 0; i < values; ++i) *out++ = static_cast<std::byte>(at(rows, i) >> (8 * plane));
    }
    constexpr std::uint64_t kMask = (1U << kRest) - 1U;
    for (std::size_t i = 0; i < values; i += kBlock) {
      std::uint64_t packed = 0;
      for (std::size_t k = 0; k < std::min(kBlock, values - i); ++k) {
        packed |= ((std::uint64_t{at(rows, i + k)} >> (8 * kWhole)) & kMask) << (k * kRest);
      }
      std::memcpy(out, &packed, kRest);
      out += kRest;
    }
  }

  static void join(const std::uint16_t* tops, StreamExtent extent, const std::byte* mantissas, std::byte* rows) {
    const std::size_t values = extent.tokens * extent.width;
    const std::byte* const rest = mantissas + kWhole * values;
    constexpr std::uint64_t kMask = (1U << kRest) - 1U;
    for (std::size_t i = 0; i < values; i += kBlock) {
      std::uint64_t packed = 0;
      std::memcpy(&packed, rest + i / kBlock * kRest, kRest);
      for (std::size_t k = 0; k < std::min(kBlock, values - i); ++k) {
        std::uint64_t code = ((packed >> (k * kRest)) & kMask) << (8 * kWhole);
        for (unsigned plane = 0; plane < kWhole; ++plane) {
          code |= std::to_integer<std::uint64_t>(mantissas[plane * values + i + k]) << (8 * plane);
        }
        const Code mantissa = static_cast<Code>(code);
        std::memcpy(rows + (i + k) * sizeof(Code), &mantissa, sizeof(Code));
      }
    }
    add_tops(tops, extent, rows);
  }

  static void add_tops(const std::uint16_t* tops, StreamExtent extent, std::byte* rows) {
    constexpr std::size_t kStrip = 16;
    for (std::size_t c = 0; c < extent.width; c += kStrip) {
      const std::size_t strip = std::min(kStrip, extent.width - c);
      for (std::size_t t = 0; t < extent.tokens; ++t) {
        for (std::size_t k = 0; k < strip; ++k) {
          const std::size_t i = t * extent.width + c + k;
          const std::uint64_t top = tops[(c + k) * extent.tokens + t];
          const Code code = static_cast<Code>(at(rows, i) | top << kBits);
          std::memcpy(rows + i * sizeof(Code), &code, sizeof(Code));
        }
      }
    }
  }
};

template <typename Visit>
auto with_planes(kernels::DType dtype, Visit visit) {
  switch (dtype) {
    case kernels::DType::kF32:
      return visit(Planes<std::uint32_t, 23>());
    case kernels::DType::kF16:
      return visit(Planes<std::uint16_t, 10>());
    case kernels::DType::kBf16:
      return visit(Planes<std::uint16_t, 7>());
    case kernels::DType::kE4m3:
      return visit(Planes<std::uint8_t, 3>());
    case kernels::DType::kE5m2:
      break;
  }
  return visit(Planes<std::uint8_t, 2>());
}

}  // namespace

std::size_t mantissa_size(kernels::DType dtype, std::size_t values) {
  return with_planes(dtype, [&](auto planes) { return planes.size(values); });
}

void split_tops(kernels::DType dtype, std::span<const std::byte> rows, StreamExtent extent,
                std::span<std::uint16_t> tops) {
  with_planes(dtype, [&](auto planes) { planes.split(rows.data(), extent, tops.data()); });
}

void pack_mantissas(kernels::DType dtype, std::span<const std::byte> rows, std::span<std::byte> out) {
  const std::size_t values = rows.size() / kernels::dtype_size(dtype);
  SLUICE_ASSERT(out.size() == mantissa_size(dtype, values));
  with_planes(dtype, [&](auto planes) { planes.pack(rows.data(), values, out.data()); });
}

void join_rows(kernels::DType dtype, const SplitRows& split, StreamExtent extent, std::span<std::byte> rows) {
  with_planes(dtype, [&](auto planes) { planes.join(split.tops.data(), extent, split.mantissas.data(), rows.data()); });
}

}  // namespace sluice::codec
