// The two parts without entropy coding: raw rows (FORMAT.md section 3) and 8-bit rows (section 6).
// Payload order is always layer by layer, K before V.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "base/result.h"
#include "codec/frame.h"
#include "kernels/shape.h"
#include "kernels/table.h"

namespace sluice::codec {

/// Payload sizes; both are exact.  Threads: pure.
std::size_t raw_payload(const kernels::KvShape& shape);
std::size_t int8_payload(const kernels::KvShape& shape);

/// Precondition: payload has exactly raw_payload bytes.
void write_raw(const kernels::KernelTable& kernels, const kernels::UnitView& unit, std::span<std::byte> payload);
/// Errors: kBadLength; `out` is then untouched.
Result<void> read_raw(const kernels::KernelTable& kernels, std::span<const std::byte> payload,
                      const kernels::MutableUnitView& out);

/// A token's head is absmax / 127 as fp16 and one signed byte a value, rounded half to even.
/// Errors: kUnsupported for NaN, infinity or a scale that fp16 cannot hold.
Result<void> write_int8(const kernels::KernelTable& kernels, const kernels::UnitView& unit,
                        std::span<std::byte> payload, std::vector<float>& rows);
/// Errors: kBadLength, kCorruptStream for a scale that is not a finite number; `out` is then untouched.
Result<void> read_int8(const kernels::KernelTable& kernels, std::span<const std::byte> payload,
                       const kernels::MutableUnitView& out, std::vector<float>& rows);

}  // namespace sluice::codec
