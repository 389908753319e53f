// The demo's side of a daemon's admin API: one HTTP request at a time, with a time limit.
#pragma once

#include <stop_token>
#include <string>
#include <string_view>

#include "base/quantity.h"
#include "base/result.h"

namespace sluice::integration::demo {

/// What to ask of which daemon.
struct DaemonCall {
  std::string address;  ///< host:port, numbers only
  std::string method = "GET";
  std::string path;
  std::string body;
  Duration limit = std::chrono::seconds(5);
  std::stop_token stop{};  ///< ends the wait at once
};

/// The body of the answer.
/// Errors:  kUnreachable, kPeerLost, kPeerSilent (limit passed), kAborted (stopped), kBadField (no HTTP), kRejected
/// with the status as native. Threads: any; blocks.
Result<std::string> ask_daemon(const DaemonCall& call);

}  // namespace sluice::integration::demo
