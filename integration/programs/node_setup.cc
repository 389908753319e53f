#include "integration/programs/node_setup.h"

#include <algorithm>

#include "integration/engines/llama_cpp/llama_engine.h"
#include "integration/engines/recorded/recorded_engine.h"
#include "kernels/table.h"

namespace sluice::programs {
namespace {

integration::DataChoice data_choice(std::string_view prefer) {
  if (prefer == "tcp") return integration::DataChoice::kTcp;
  if (prefer == "ucx") return integration::DataChoice::kUcx;
  return prefer == "shm" ? integration::DataChoice::kShm : integration::DataChoice::kAuto;
}

}  // namespace

std::optional<transport::tcp::TlsOptions> tls_options(const integration::Config& config) {
  if (config.tls_certificate.empty()) return std::nullopt;
  transport::tcp::TlsOptions tls;
  tls.certificate = config.tls_certificate;
  tls.key = config.tls_key;
  tls.authorities = config.tls_ca;
  tls.node_name = config.node_name;
  tls.allowed_names = config.tls_allowed_names;
  return tls;
}

integration::NodeOptions node_options(const integration::Config& config) {
  const auto has = [&](std::string_view part) {
    return std::find(config.codec_parts.begin(), config.codec_parts.end(), part) != config.codec_parts.end();
  };
  integration::NodeOptions options;
  options.name = config.node_name;
  options.endpoint.listen = config.listen_data;
  options.endpoint.ring = config.memory_ring;
  options.endpoint.heartbeat = config.transport_heartbeat;
  options.peers = config.discovery_peers;
  options.data = {data_choice(config.transport_prefer), config.transport_shm_any_user, config.transport_shm_spin};
  options.tls = tls_options(config);
  options.store = config.memory_store;
  options.planes = config.memory_planes;
  options.group_layers = static_cast<std::uint32_t>(config.codec_group_layers.count());
  options.parts = {.raw = has("raw"), .lossless = has("lossless"), .int8 = has("int8"), .nested = has("nested")};
  options.coder = {config.codec_profile, config.codec_level};
  options.policy = config.planner_policy;
  options.nominal_rate = config.planner_nominal_rate;
  options.nominal_is_trusted = config.planner_nominal_is_trusted;
  options.quality_floor = config.planner_quality_floor;
  options.quality_target = config.planner_quality_target;
  options.deadline = config.planner_deadline;
  return options;
}

Result<std::unique_ptr<integration::Engine>> open_engine(const integration::Config& config, const Clock& clock) {
  if (config.engine_kind == "recorded") {
    integration::recorded::RecordedEngineOptions options;
    options.recording = config.engine_model;
    options.prefill_per_token = config.engine_prefill_per_token;
    return integration::recorded::open_recorded_engine(options, kernels::ref_kernels(), clock);
  }
  if (config.engine_kind == "none") return std::unique_ptr<integration::Engine>();
  integration::llama_cpp::LlamaEngineOptions options;
  options.model_path = config.engine_model;
  options.context_tokens = config.engine_context;
  return integration::llama_cpp::open_llama_engine(options, *kernels::ref_kernels().digest, clock);
}

}  // namespace sluice::programs
