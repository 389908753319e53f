// Little-endian bytes, written and read with bounds. A WireReader never reads past its end and remembers the first
// error: after one, every read gives zero, so that a decoder is a straight list of fields and checks once at the end.
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/result.h"

namespace sluice::transport {

/// Appends little-endian fields. Threads: one.
class WireWriter {
 public:
  template <std::unsigned_integral Int>
  void put(Int value) {
    for (std::size_t at = 0; at < sizeof(Int); ++at) {
      bytes_.push_back(static_cast<std::byte>((static_cast<std::uint64_t>(value) >> (8U * at)) & 0xFFU));
    }
  }
  void put_bytes(std::span<const std::byte> bytes) { bytes_.insert(bytes_.end(), bytes.begin(), bytes.end()); }
  /// u16 length, then the characters.
  void put_text(const std::string& text) {
    SLUICE_ASSERT(text.size() <= 0xFFFFU);
    put(static_cast<std::uint16_t>(text.size()));
    put_bytes(std::as_bytes(std::span(text)));
  }
  void reserve(std::size_t size) { bytes_.reserve(size); }
  std::vector<std::byte> take() { return std::move(bytes_); }

 private:
  std::vector<std::byte> bytes_;
};

/// Reads what WireWriter wrote. Threads: one.
class WireReader {
 public:
  explicit WireReader(std::span<const std::byte> bytes) : rest_(bytes) {}

  template <std::unsigned_integral Int>
  Int take() {
    const std::span<const std::byte> bytes = take_bytes(sizeof(Int));
    std::uint64_t value = 0;
    for (std::size_t at = 0; at < bytes.size(); ++at) {
      value |= static_cast<std::uint64_t>(std::to_integer<std::uint8_t>(bytes[at])) << (8U * at);
    }
    return static_cast<Int>(value);
  }
  /// Exactly `size` bytes, or none and the error kTruncated.
  std::span<const std::byte> take_bytes(std::size_t size) {
    if (error_ != ErrorCode::kOk) return {};
    if (size > rest_.size()) {
      fail(ErrorCode::kTruncated);
      return {};
    }
    const std::span<const std::byte> bytes = rest_.first(size);
    rest_ = rest_.subspan(size);
    return bytes;
  }
  /// A u16 length of at most `limit`, then the characters.
  std::string take_text(std::size_t limit) {
    const std::span<const std::byte> bytes = take_bytes(take_length(limit));
    return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  /// A u16 that counts something: kBadLength beyond `limit`.
  std::size_t take_length(std::size_t limit) {
    const std::size_t length = take<std::uint16_t>();
    if (length > limit) fail(ErrorCode::kBadLength);
    return error_ == ErrorCode::kOk ? length : 0;
  }
  /// Keeps the first error.
  void fail(ErrorCode code) {
    if (error_ == ErrorCode::kOk) error_ = code;
  }
  void require(bool law) {
    if (!law) fail(ErrorCode::kBadField);
  }
  std::size_t remaining() const { return rest_.size(); }
  bool failed() const { return error_ != ErrorCode::kOk; }

  /// The value when every field was good and nothing is left.
  template <typename T>
  Result<T> finish(T value, const char* where) {
    if (error_ == ErrorCode::kOk && !rest_.empty()) error_ = ErrorCode::kTrailingBytes;
    if (error_ != ErrorCode::kOk) return Error{error_, 0, where};
    return value;
  }

 private:
  std::span<const std::byte> rest_;
  ErrorCode error_ = ErrorCode::kOk;
};

}  // namespace sluice::transport
