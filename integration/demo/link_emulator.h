// The shaped link between the two daemons. Two ways: network namespaces of our own joined by a veth pair with traffic
// control (needs root), or a forwarder in user space; it says which one runs.
// Invariant: what it made on the machine (namespaces, interfaces, a process) is gone when it is destroyed; leftovers of
// a demo that was killed are removed by the next one.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/quantity.h"
#include "base/result.h"

namespace sluice::integration::demo {

/// Where one daemon lives: what goes before its command, and its addresses.
struct DaemonPlace {
  std::vector<std::string> launch;  ///< for instance {"ip", "netns", "exec", NAME}; may be empty
  std::string data_listen;          ///< host:port it takes peers on
  std::string admin_listen;         ///< host:port of its API, reachable from the demo
};

/// How the link is to be made.
struct LinkOptions {
  std::string kind = "auto";  ///< auto, namespaces or forwarder
  Duration rtt{0};
  std::filesystem::path folder;  ///< for logs
  std::string self;              ///< path of the program `sluice`, which is also the forwarder
};

/// Threads: one.
class LinkEmulator {
 public:
  virtual ~LinkEmulator() = default;
  /// Shapes both directions; zero: as fast as it goes. The decode daemon is not connected meanwhile.
  /// Errors:  kIo.
  virtual Result<void> shape(BitsPerSecond rate) = 0;
  virtual DaemonPlace prefill() const = 0;
  virtual DaemonPlace decode() const = 0;
  /// The address under which the decode daemon reaches the prefill daemon over the link.
  virtual std::string prefill_over_link() const = 0;
  /// One sentence for people: which kind, and what it leaves out.
  virtual std::string description() const = 0;
};

/// Makes the link. With kind auto: namespaces when that works here and can give the wanted RTT, else the forwarder.
/// Errors:  kInvalidArgument (unknown kind), kUnsupported (namespaces asked for and not possible), kIo.
Result<std::unique_ptr<LinkEmulator>> open_link(const LinkOptions& options);

}  // namespace sluice::integration::demo
