// Scalar scatter: the mirror of gather.cc. Writes values only, never what lies between rows.
#include "kernels/scatter.h"

#include <cstring>

#include "base/assert.h"
#include "kernels/float_formats.h"
#include "kernels/ref/kernels.h"
#include "kernels/row_runs.h"

namespace sluice::kernels::ref {
namespace {

template <typename Format>
void narrow_run(const float* in, std::size_t values, std::byte* out) {
  using Storage = typename Format::Storage;
  constexpr std::size_t kBlock = 64;
  Storage block[kBlock];  // pages may be misaligned: convert, then copy
  std::size_t done = 0;
  for (; done + kBlock <= values; done += kBlock) {
    for (std::size_t i = 0; i < kBlock; ++i) block[i] = Format::narrow(in[done + i]);
    std::memcpy(out + done * sizeof(Storage), block, sizeof block);
  }
  for (std::size_t i = 0; done + i < values; ++i) block[i] = Format::narrow(in[done + i]);
  std::memcpy(out + done * sizeof(Storage), block, (values - done) * sizeof(Storage));
}

template <typename Format>
void scatter_as(const float* in, const KvShape& shape, TokenRange range, const MutablePlaneView& plane) {
  for_each_run(plane, shape, range, [&](std::byte* run, std::size_t size) {
    const std::size_t values = size / sizeof(typename Format::Storage);
    narrow_run<Format>(in, values, run);
    in += values;
  });
}

}  // namespace

void place_rows(std::span<const std::byte> in, const KvShape& shape, TokenRange range, const MutablePlaneView& plane) {
  SLUICE_ASSERT(in.size() == range.count * shape.row_bytes().count());
  const std::byte* source = in.data();
  for_each_run(plane, shape, range, [&](std::byte* run, std::size_t size) {
    std::memcpy(run, source, size);
    source += size;
  });
}

void scatter(std::span<const float> in, const KvShape& shape, TokenRange range, const MutablePlaneView& plane) {
  SLUICE_ASSERT(in.size() == range.count * shape.row_values());
  with_format<Formats>(shape.dtype, [&](auto format) { scatter_as<decltype(format)>(in.data(), shape, range, plane); });
}

}  // namespace sluice::kernels::ref
