// What a peer calls itself, as a value: events carry it, and events outlive the session whose greeting said it.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>

namespace sluice {

/// Text of at most kCapacity bytes; what is longer is cut. No allocation.
class PeerName {
 public:
  static constexpr std::size_t kCapacity = 64;

  constexpr PeerName() = default;
  constexpr explicit PeerName(std::string_view text) : size_(std::min(text.size(), kCapacity)) {
    std::copy_n(text.begin(), size_, text_.begin());
  }
  constexpr std::string_view view() const { return {text_.data(), size_}; }

 private:
  std::array<char, kCapacity> text_{};
  std::size_t size_ = 0;
};

}  // namespace sluice
