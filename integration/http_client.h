// One HTTP request with a deadline, for tools that ask a daemon's admin port. Blocks the calling thread; not for loops.
#pragma once

#include <string>

#include "base/quantity.h"
#include "base/result.h"
#include "integration/address.h"
#include "integration/http_server.h"

namespace sluice::integration {

/// Where to ask, what, and how long to wait.
struct HttpCall {
  Address address;
  HttpRequest request;
  /// For everything: name, connection, request and response.
  Duration deadline = std::chrono::seconds(10);
};

/// Asks and waits. A response of any status is a value.
/// Errors:  kUnreachable, kPeerLost, kDeadlineMissed, kCorruptStream (not HTTP), kInvalidArgument (no such method).
/// Threads: any; blocks for at most `deadline`.
Result<HttpResponse> call_http(const HttpCall& call);

}  // namespace sluice::integration
