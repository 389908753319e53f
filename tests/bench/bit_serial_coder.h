// The baseline that learned codecs ship: an arithmetic coder that writes bit after bit, with 16-bit cumulative
// frequencies and a binary search for every symbol (the method of torchac, written anew). For comparison only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace sluice::bench {

/// Cumulative frequencies: entry s is the sum before symbol s, the last one 2^16.
using Cumulative = std::vector<std::uint32_t>;

/// Interval of 32 bits with postponed carries.  Threads: one call at a time.
class BitSerialEncoder {
 public:
  void encode(const Cumulative& cumulative, std::span<const std::uint8_t> symbols) {
    for (const std::uint8_t symbol : symbols) {
      narrow(cumulative, symbol);
      while (true) {
        if (high_ < kHalf) {
          put_with_pending(0);
        } else if (low_ >= kHalf) {
          put_with_pending(1);
        } else if (low_ >= kQuarter && high_ < kHalf + kQuarter) {
          ++pending_;
          low_ -= kQuarter;
          high_ -= kQuarter;
        } else {
          break;
        }
        low_ <<= 1U;
        high_ = high_ << 1U | 1U;
      }
    }
    ++pending_;
    put_with_pending(low_ < kQuarter ? 0 : 1);
    while (used_ != 0) put(0);
  }
  const std::vector<std::uint8_t>& bytes() const { return bytes_; }
  void clear() { *this = {}; }

  static constexpr std::uint32_t kHalf = 1U << 31U;
  static constexpr std::uint32_t kQuarter = 1U << 30U;

 private:
  void narrow(const Cumulative& cumulative, std::uint8_t symbol) {
    const std::uint64_t span = std::uint64_t{high_} - low_ + 1;
    high_ = low_ + static_cast<std::uint32_t>((span * cumulative[symbol + 1U]) >> 16U) - 1;
    low_ = low_ + static_cast<std::uint32_t>((span * cumulative[symbol]) >> 16U);
  }
  void put(unsigned bit) {
    cache_ = static_cast<std::uint8_t>(cache_ << 1U | bit);
    if (++used_ < 8) return;
    bytes_.push_back(cache_);
    used_ = 0;
  }
  void put_with_pending(unsigned bit) {
    put(bit);
    for (; pending_ > 0; --pending_) put(1U - bit);
  }

  std::vector<std::uint8_t> bytes_;
  std::uint32_t low_ = 0, high_ = 0xFFFFFFFFU;
  std::uint32_t pending_ = 0;
  std::uint8_t cache_ = 0;
  unsigned used_ = 0;
};

/// Inverse.  Threads: one call at a time.
class BitSerialDecoder {
 public:
  explicit BitSerialDecoder(std::span<const std::uint8_t> bytes) : bytes_(bytes) {
    for (int i = 0; i < 32; ++i) value_ = value_ << 1U | next();
  }
  void decode(const Cumulative& cumulative, std::span<std::uint8_t> symbols) {
    for (std::uint8_t& symbol : symbols) symbol = take(cumulative);
  }

 private:
  std::uint8_t take(const Cumulative& cumulative) {
    const std::uint64_t span = std::uint64_t{high_} - low_ + 1;
    const auto count = static_cast<std::uint32_t>((((std::uint64_t{value_} - low_ + 1) << 16U) - 1) / span);
    std::size_t left = 0, right = cumulative.size() - 1;
    while (left + 1 < right) {
      const std::size_t middle = (left + right) / 2;
      (cumulative[middle] <= count ? left : right) = middle;
    }
    high_ = low_ + static_cast<std::uint32_t>((span * cumulative[left + 1]) >> 16U) - 1;
    low_ = low_ + static_cast<std::uint32_t>((span * cumulative[left]) >> 16U);
    while (shift()) {
    }
    return static_cast<std::uint8_t>(left);
  }
  bool shift() {
    if (low_ >= BitSerialEncoder::kQuarter && high_ < BitSerialEncoder::kHalf + BitSerialEncoder::kQuarter) {
      low_ -= BitSerialEncoder::kQuarter;
      high_ -= BitSerialEncoder::kQuarter;
      value_ -= BitSerialEncoder::kQuarter;
    } else if (high_ >= BitSerialEncoder::kHalf && low_ < BitSerialEncoder::kHalf) {
      return false;
    }
    low_ <<= 1U;
    high_ = high_ << 1U | 1U;
    value_ = value_ << 1U | next();
    return true;
  }
  unsigned next() {
    const unsigned bit = at_ / 8 < bytes_.size() ? bytes_[at_ / 8] >> (7 - at_ % 8) & 1U : 0U;
    ++at_;
    return bit;
  }

  std::span<const std::uint8_t> bytes_;
  std::size_t at_ = 0;
  std::uint32_t low_ = 0, high_ = 0xFFFFFFFFU, value_ = 0;
};

}  // namespace sluice::bench
