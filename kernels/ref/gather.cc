// Scalar gather. A token whose heads lie side by side is one run; tokens that do so too are one longer run.
#include "kernels/gather.h"

#include <cstring>

#include "base/assert.h"
#include "kernels/float_formats.h"
#include "kernels/ref/kernels.h"
#include "kernels/row_runs.h"

namespace sluice::kernels::ref {
namespace {

template <typename Format>
void widen_run(const std::byte* in, std::size_t values, float* out) {
  using Storage = typename Format::Storage;
  constexpr std::size_t kBlock = 64;
  Storage block[kBlock];  // pages may be misaligned: copy, then convert
  std::size_t done = 0;
  for (; done + kBlock <= values; done += kBlock) {
    std::memcpy(block, in + done * sizeof(Storage), sizeof block);
    for (std::size_t i = 0; i < kBlock; ++i) out[done + i] = Format::widen(block[i]);
  }
  std::memcpy(block, in + done * sizeof(Storage), (values - done) * sizeof(Storage));
  for (std::size_t i = 0; done + i < values; ++i) out[done + i] = Format::widen(block[i]);
}

template <typename Format>
void gather_as(const PlaneView& plane, const KvShape& shape, TokenRange range, float* out) {
  for_each_run(plane, shape, range, [&](const std::byte* run, std::size_t size) {
    const std::size_t values = size / sizeof(typename Format::Storage);
    widen_run<Format>(run, values, out);
    out += values;
  });
}

}  // namespace

void copy_rows(const PlaneView& plane, const KvShape& shape, TokenRange range, std::span<std::byte> out) {
  SLUICE_ASSERT(out.size() == range.count * shape.row_bytes().count());
  std::byte* target = out.data();
  for_each_run(plane, shape, range, [&](const std::byte* run, std::size_t size) {
    std::memcpy(target, run, size);
    target += size;
  });
}

void gather(const PlaneView& plane, const KvShape& shape, TokenRange range, std::span<float> out) {
  SLUICE_ASSERT(out.size() == range.count * shape.row_values());
  with_format<Formats>(shape.dtype, [&](auto format) { gather_as<decltype(format)>(plane, shape, range, out.data()); });
}

}  // namespace sluice::kernels::ref
