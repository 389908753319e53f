#include "integration/admin.h"

#include <charconv>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

namespace sluice::integration {
namespace {

using nlohmann::json;

constexpr std::string_view kRequests = "/v1/requests";
constexpr std::string_view kOneRequest = "/v1/requests/";
constexpr const char* kPaths =
    "use /, /metrics, /healthz, /readyz, /v1/status, /v1/links, /v1/events, /v1/requests, /v1/requests/ID or /v1/drain";

HttpResponse as_json(int status, const json& value) {
  return {status, "application/json", value.dump(-1, ' ', false, json::error_handler_t::replace) + "\n"};
}

HttpResponse refusal(int status, ErrorCode code, std::string_view message) {
  return as_json(status, {{"error", error_name(code)}, {"message", message}});
}

HttpResponse metrics_page(const AdminParts& parts) {
  const Bytes used = parts.node.ring_used();
  parts.counters.set_pool(parts.node.ring_size() - used, Bytes(0), used);
  parts.counters.set_inflight(parts.node.running_requests());
  return {200, std::string(metrics::kTextFormat), parts.exporter.render()};
}

HttpResponse front_page(const AdminParts& parts) {
  std::string text = "sluice\n";
  const json status = parts.node.status();  // items() refers to it
  for (const auto& [key, value] : status.items()) {
    text += key + " " + (value.is_string() ? value.get<std::string>() : value.dump()) + "\n";
  }
  text += "links " + parts.node.links().dump(2, ' ', false, json::error_handler_t::replace) + "\n";
  return {200, "text/plain; charset=utf-8", text};
}

HttpResponse one_request(const AdminParts& parts, std::string_view digits) {
  std::uint64_t number = 0;
  const auto [end, failure] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (failure != std::errc() || end != digits.data() + digits.size()) {
    return refusal(400, ErrorCode::kInvalidArgument, "a request's id is a whole number: use the one in its answer");
  }
  const json found = parts.node.find_request(number);
  if (found.is_null())
    return refusal(404, ErrorCode::kNotFound, "no recent request has this id: use one of the last 1024");
  return as_json(200, found);
}

HttpResponse get(const AdminParts& parts, std::string_view path) {
  if (path == "/") return front_page(parts);
  if (path == "/metrics") return metrics_page(parts);
  if (path == "/healthz") return {200, "text/plain; charset=utf-8", "ok\n"};
  if (path == "/readyz") {
    if (parts.node.ready()) return {200, "text/plain; charset=utf-8", "ready\n"};
    return {503, "text/plain; charset=utf-8", parts.node.draining() ? "draining\n" : "a peer is not connected\n"};
  }
  if (path == "/v1/status") return as_json(200, parts.node.status());
  if (path == "/v1/links") return as_json(200, parts.node.links());
  if (path == "/v1/events") return {200, "application/json", parts.recorder.json()};
  if (path.starts_with(kOneRequest)) return one_request(parts, path.substr(kOneRequest.size()));
  if (path == kRequests || path == "/v1/drain")
    return refusal(405, ErrorCode::kInvalidArgument, "use POST for this path");
  return refusal(404, ErrorCode::kNotFound, kPaths);
}

void run_request(const AdminParts& parts, const std::string& body, HttpRespond respond) {
  json asked = json::parse(body, nullptr, false);
  if (asked.is_discarded()) {
    return respond(
        refusal(400, ErrorCode::kInvalidArgument, "the body is not JSON: send an object with text or tokens"));
  }
  parts.node.run_request(
      asked, [respond = std::move(respond)](int status, const json& answer) { respond(as_json(status, answer)); });
}

}  // namespace

HttpHandler make_admin_handler(const AdminParts& parts) {
  return [parts](const HttpRequest& request, HttpRespond respond) {
    const std::string_view path = std::string_view(request.target).substr(0, request.target.find('?'));
    if (request.method == "GET") return respond(get(parts, path));
    if (request.method != "POST") return respond(refusal(405, ErrorCode::kInvalidArgument, "use GET or POST"));
    if (path == kRequests) return run_request(parts, request.body, std::move(respond));
    if (path == "/v1/drain") {
      parts.node.drain();
      return respond(as_json(200, {{"draining", true}, {"running_requests", parts.node.running_requests()}}));
    }
    respond(refusal(404, ErrorCode::kNotFound, kPaths));
  };
}

}  // namespace sluice::integration
