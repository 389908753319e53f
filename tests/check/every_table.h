// Every table that this machine can run, as a test parameter: one body proves each of them equal to ref, bit for bit.
// Tables that are built but need another CPU are named as skipped.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <cstring>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/table.h"

namespace sluice::kernels {

inline constexpr std::array<std::string_view, 3> kTables{"ref", "avx2", "avx512"};

/// One implementation against ref.
class EveryTable : public testing::TestWithParam<std::string_view> {
 protected:
  void SetUp() override {
    table_ = find_kernels(GetParam());
    if (table_ == nullptr) GTEST_SKIP() << "this machine cannot run the table " << GetParam();
  }
  const KernelTable& table() const { return *table_; }
  static const KernelTable& ref() { return ref_kernels(); }

 private:
  const KernelTable* table_ = nullptr;
};

inline std::string table_name(const testing::TestParamInfo<std::string_view>& info) { return std::string(info.param); }

/// Memory of `count` values between canaries, at an odd offset from any alignment.
template <typename T>
class Guarded {
 public:
  explicit Guarded(std::size_t count) : bytes_(kGuard * 2 + count * sizeof(T), kCanary), count_(count) {}
  std::span<T> values() { return {reinterpret_cast<T*>(bytes_.data() + kGuard), count_}; }
  bool is_intact() const {
    for (std::size_t i = 0; i < kGuard; ++i) {
      if (bytes_[i] != kCanary || bytes_[bytes_.size() - 1 - i] != kCanary) return false;
    }
    return true;
  }
  bool operator==(const Guarded& other) const { return bytes_ == other.bytes_; }

 private:
  static constexpr std::size_t kGuard = 68;
  static constexpr std::byte kCanary{0xA5};
  std::vector<std::byte> bytes_;
  std::size_t count_;
};

/// 0 to 100, and around what blocks and pages are made of.
inline std::vector<std::size_t> lengths() {
  std::vector<std::size_t> all;
  for (std::size_t length = 0; length <= 100; ++length) all.push_back(length);
  for (const std::size_t length : {127, 128, 129, 223, 255, 256, 257, 1000, 1021}) all.push_back(length);
  return all;
}

}  // namespace sluice::kernels
