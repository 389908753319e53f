// What the files of the C ABI share: handles, and how errors and exceptions leave the library.
#pragma once

#include <cstddef>
#include <exception>
#include <new>
#include <string>
#include <vector>

#include "base/result.h"
#include "codec/profile.h"
#include "integration/capi/sluice.h"

/// Bytes that the caller owns.
struct sluice_bytes {
  std::vector<std::byte> content;
};

/// A parsed profile that the caller owns.
struct sluice_profile {
  sluice::codec::Profile profile;
};

namespace sluice::capi {

/// Tells an error to the caller; returns its number.
inline int32_t report(const Error& error, sluice_error* out) {
  if (out != nullptr) *out = {static_cast<int32_t>(error.code), error.native, error.where};
  return static_cast<int32_t>(error.code);
}

/// Runs `call`, which gives a Result<void>; nothing that a library below throws passes.
template <typename Call>
int32_t guarded(sluice_error* error, Call call) noexcept {
  try {
    const Result<void> outcome = call();
    return outcome ? 0 : report(outcome.error(), error);
  } catch (const std::bad_alloc&) {
    return report({ErrorCode::kNoMemory, 0, "c abi"}, error);
  } catch (const std::exception&) {
    return report({ErrorCode::kInvalidArgument, 0, "c abi"}, error);
  }
}

/// What the caller points at.
inline std::span<const std::byte> bytes_of(const void* data, size_t size) {
  return {static_cast<const std::byte*>(data), size};
}

/// Text as bytes for the caller, without a zero at the end.
inline sluice_bytes* text_bytes(const std::string& text) {
  const auto* const first = reinterpret_cast<const std::byte*>(text.data());
  return new sluice_bytes{{first, first + text.size()}};
}

}  // namespace sluice::capi
