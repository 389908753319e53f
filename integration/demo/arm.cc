#include "integration/demo/arm.h"

#include <cmath>
#include <nlohmann/json.hpp>

namespace sluice::integration::demo {

namespace {

using Json = nlohmann::json;

Duration from_milliseconds(double value) {
  if (!std::isfinite(value) || std::abs(value) > 1e12) return Duration{-1};
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double, std::milli>(value));
}

/// The object under `name`, or an empty one: an answer may leave out what it has not measured, or say null.
Json object_at(const Json& from, const char* name) {
  const auto found = from.find(name);
  return found != from.end() && found->is_object() ? *found : Json::object();
}

template <typename T>
T value_at(const Json& from, const char* name, T otherwise) {
  const auto found = from.find(name);
  return found == from.end() || found->is_null() ? otherwise : found->get<T>();
}

Duration time_at(const Json& from, const char* name, double otherwise = 0) {
  return from_milliseconds(value_at<double>(from, name, otherwise));
}

Split read_split(const Json& split) {
  return {.prefill = time_at(split, "prefill"),
          .encode = time_at(split, "encode"),
          .wire = time_at(split, "wire"),
          .decode = time_at(split, "decode"),
          .inject = time_at(split, "inject"),
          .first_token = time_at(split, "first_token")};
}

ArmResult read_answer(const Json& answer) {
  ArmResult result;
  result.request = value_at<std::uint64_t>(answer, "request", 0);
  result.outcome = value_at<std::string>(answer, "outcome", "failed");
  result.error = value_at<std::string>(answer, "error", "");
  result.reason = value_at<std::string>(answer, "reason", "");
  result.ttft = time_at(answer, "ttft_ms");
  result.split = read_split(object_at(answer, "split_ms"));
  result.wire = Bytes(value_at<std::uint64_t>(answer, "wire_bytes", 0));
  result.raw = Bytes(value_at<std::uint64_t>(answer, "raw_bytes", 0));
  result.bits_per_value = value_at<double>(answer, "bits_per_value", 0);
  result.parts = object_at(answer, "parts").get<std::map<std::string, std::uint64_t>>();
  result.quality = PartsPerMillion(value_at<std::uint64_t>(answer, "quality_ppm", 0));
  result.tokens = value_at<std::vector<std::int64_t>>(answer, "tokens", {});
  result.text = value_at<std::string>(answer, "text", "");
  result.logits_hash = value_at<std::string>(answer, "logits_hash", "");
  result.approximate = value_at<bool>(answer, "approximate", false);
  if (const Json kl = object_at(answer, "kl"); !kl.empty()) {
    result.divergence = Divergence{.mean = value_at<double>(kl, "mean", 0),
                                   .p99 = value_at<double>(kl, "p99", 0),
                                   .max = value_at<double>(kl, "max", 0),
                                   .top1 = value_at<double>(kl, "top1", 0)};
  }
  const Json peer = object_at(answer, "peer_timing");
  result.peer = {.prefill = time_at(peer, "prefill_ms", -1),
                 .encode = time_at(peer, "encode_ms", -1),
                 .first_part_sent = time_at(peer, "first_part_sent_ms", -1),
                 .prefill_end = time_at(peer, "prefill_end_ms", -1)};
  return result;
}

}  // namespace

std::string request_body(const ArmRequest& request) {
  Json body = {{"text", request.text},
               {"mode", request.mode},
               {"deadline_ms", std::chrono::duration_cast<std::chrono::milliseconds>(request.deadline).count()},
               {"deadline_kind", request.hard_deadline ? "hard" : "soft"},
               {"generate", request.generate}};
  if (!request.policy.empty()) body["policy"] = request.policy;
  if (!request.keep_reference.empty()) body["keep_reference"] = request.keep_reference;
  if (!request.score_against.empty()) body["score_against"] = request.score_against;
  return body.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Result<ArmResult> parse_answer(std::string_view body) {
  const Error bad{ErrorCode::kBadField, 0, "daemon's answer"};
  const Json answer = Json::parse(body, nullptr, false);
  if (!answer.is_object()) return bad;
  try {
    return read_answer(answer);
  } catch (const Json::exception&) {  // a field of another type: the library's way to say so
    return bad;
  }
}

void add_sender(std::string_view body, ArmResult& result) {
  const Json answer = Json::parse(body, nullptr, false);
  if (!answer.is_object()) return;
  const Json sender = object_at(answer, "sender");
  try {
    result.peer = {.prefill = time_at(sender, "prefill_end_ms", -1),
                   .encode = time_at(sender, "encode_ms", -1),
                   .first_part_sent = time_at(sender, "first_part_sent_ms", -1),
                   .prefill_end = time_at(sender, "prefill_end_ms", -1)};
  } catch (const Json::exception&) {  // another shape than ours: not known
    return;
  }
  if (result.split.encode.count() == 0 && result.peer.encode.count() > 0) result.split.encode = result.peer.encode;
}

}  // namespace sluice::integration::demo
