// Gather and scatter: rows of any dtype to fp32 and back, run by run as the pages allow.
#include "base/assert.h"
#include "kernels/avx2/float_formats.h"
#include "kernels/avx2/kernels.h"
#include "kernels/row_runs.h"

namespace sluice::kernels::avx2 {
namespace {

constexpr std::size_t kEight = 8;

template <typename Format>
void gather_as(const PlaneView& plane, const KvShape& shape, TokenRange range, float* out) {
  using Storage = typename Format::Storage;
  for_each_run(plane, shape, range, [&](const std::byte* run, std::size_t size) {
    const std::size_t values = size / sizeof(Storage);
    // Loads and stores are unaligned ones: pages may be misaligned.
    map_blocks<kEight>(reinterpret_cast<const Storage*>(run), out, values,
                       [](const Storage* in, float* to) { _mm256_storeu_ps(to, Format::widen(in)); });
    out += values;
  });
}

template <typename Format>
void scatter_as(const float* in, const KvShape& shape, TokenRange range, const MutablePlaneView& plane) {
  using Storage = typename Format::Storage;
  for_each_run(plane, shape, range, [&](std::byte* run, std::size_t size) {
    const std::size_t values = size / sizeof(Storage);
    map_blocks<kEight>(in, reinterpret_cast<Storage*>(run), values,
                       [](const float* from, Storage* to) { Format::narrow(_mm256_loadu_ps(from), to); });
    in += values;
  });
}

}  // namespace

void gather(const PlaneView& plane, const KvShape& shape, TokenRange range, std::span<float> out) {
  SLUICE_ASSERT(out.size() == range.count * shape.row_values());
  with_format<Formats>(shape.dtype, [&](auto format) { gather_as<decltype(format)>(plane, shape, range, out.data()); });
}

void scatter(std::span<const float> in, const KvShape& shape, TokenRange range, const MutablePlaneView& plane) {
  SLUICE_ASSERT(in.size() == range.count * shape.row_values());
  with_format<Formats>(shape.dtype, [&](auto format) { scatter_as<decltype(format)>(in.data(), shape, range, plane); });
}

}  // namespace sluice::kernels::avx2
