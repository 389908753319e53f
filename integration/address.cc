#include "integration/address.h"

#include <algorithm>
#include <charconv>

namespace sluice::integration {
namespace {

constexpr std::size_t kLongestHost = 253;

bool is_host_character(char letter) {
  return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') || (letter >= '0' && letter <= '9') ||
         letter == '.' || letter == '-' || letter == '_';
}

}  // namespace

Result<Address> parse_address(std::string_view text) {
  const Error wrong{ErrorCode::kInvalidArgument, 0, "address"};
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return wrong;
  std::string_view host = text.substr(0, colon);
  const std::string_view digits = text.substr(colon + 1);
  if (host.front() == '[') {
    if (host.size() < 4 || host.back() != ']') return wrong;
    host = host.substr(1, host.size() - 2);
    if (host.find_first_not_of("0123456789abcdefABCDEF:.") != std::string_view::npos) return wrong;
  } else if (!std::all_of(host.begin(), host.end(), is_host_character)) {
    return wrong;
  }
  if (host.size() > kLongestHost || digits.empty()) return wrong;
  Address address{std::string(host), 0};
  const auto [end, failure] = std::from_chars(digits.data(), digits.data() + digits.size(), address.port);
  if (failure != std::errc() || end != digits.data() + digits.size()) return wrong;
  return address;
}

std::string to_text(const Address& address) {
  const bool is_v6 = address.host.find(':') != std::string::npos;
  return (is_v6 ? "[" + address.host + "]" : address.host) + ":" + std::to_string(address.port);
}

bool is_loopback(const Address& address) {
  if (address.host == "localhost" || address.host == "::1") return true;
  // Only a numeric 127.x.y.z: a name such as 127.example.org is somewhere else.
  return address.host.starts_with("127.") && address.host.find_first_not_of("0123456789.") == std::string::npos &&
         std::count(address.host.begin(), address.host.end(), '.') == 3;
}

}  // namespace sluice::integration
