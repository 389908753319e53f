// The paths of the admin port: what a node tells Prometheus, an orchestrator, tools and people.
// GET / | /metrics | /healthz | /readyz | /v1/status | /v1/links | /v1/events | /v1/requests/ID, POST /v1/requests |
// /v1/drain. Every refusal is JSON with "error" and a "message" that says what to do.
#pragma once

#include "integration/http_server.h"
#include "integration/node.h"
#include "metrics/counters.h"
#include "metrics/flight_recorder.h"
#include "metrics/prometheus/exporter.h"

namespace sluice::integration {

/// What the paths read; all must outlive the handler.
struct AdminParts {
  Node& node;
  metrics::Counters& counters;
  const metrics::Exporter& exporter;
  const metrics::FlightRecorder& recorder;
};

/// Threads: the handler runs on the node's loop.
HttpHandler make_admin_handler(const AdminParts& parts);

}  // namespace sluice::integration
