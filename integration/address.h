// "host:port" as people write it, in configuration, on the command line and in HTTP targets. No name is looked up here.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace sluice::integration {

/// A place to listen at or to connect to.
struct Address {
  std::string host;
  std::uint16_t port = 0;
  bool operator==(const Address&) const = default;
};

/// Reads "host:port" or "[v6]:port". Port 0 is allowed: a listener takes any.
/// Errors:  kInvalidArgument.  Threads: pure.
Result<Address> parse_address(std::string_view text);

/// The inverse of parse_address.  Threads: pure.
std::string to_text(const Address& address);

/// Whether only this machine can reach it: 127.0.0.0/8, ::1 or "localhost".  Threads: pure.
bool is_loopback(const Address& address);

}  // namespace sluice::integration
