// The C ABI's other half: version, errors, bytes, profiles and how they are made. Invariant: nothing of the caller's is
// kept beyond a call.
#include <string>
#include <vector>

#include "base/error.h"
#include "codec/calibration/calibrate.h"
#include "integration/calibration_dump.h"
#include "integration/capi/capi.h"
#include "kernels/table.h"

namespace sluice::capi {
namespace {

namespace calibration = codec::calibration;

/// Passes progress on to the caller.
class Watch final : public calibration::CalibrationWatch {
 public:
  explicit Watch(const sluice_calibration_options& options) : options_(&options) {}
  bool on_progress(const char* phase, double share) override {
    return options_->progress == nullptr || options_->progress(options_->progress_context, phase, share) == 0;
  }

 private:
  const sluice_calibration_options* options_;
};

Result<calibration::CalibrationOptions> options_of(const sluice_calibration_options& given) {
  calibration::CalibrationOptions options;
  if (given.tier > 3 || given.layers_back > codec::kMaxLayersBack || given.intra_every > 255) {
    return Error{ErrorCode::kInvalidArgument, 0, "calibration options"};
  }
  if (given.tier != 0) options.tier = static_cast<codec::Tier>(given.tier);
  if (given.layers_back != 0) options.layers_back = static_cast<std::uint8_t>(given.layers_back);
  if (given.intra_every != 0) options.intra_every = static_cast<std::uint8_t>(given.intra_every);
  options.levels = calibration::usual_levels();
  if (given.level_count != 0) options.levels.clear();
  for (std::size_t i = 0; i < given.level_count; ++i) {
    const sluice_level_target& level = given.levels[i];
    if (level.name == nullptr) return Error{ErrorCode::kInvalidArgument, 0, "level name"};
    options.levels.push_back({.name = level.name, .kl = level.kl, .stages = Stages(level.stages)});
  }
  if (given.sensitivity == nullptr) return options;
  const std::string_view text(given.sensitivity);
  SLUICE_ASSIGN(options.measured, integration::read_kl_curve(bytes_of(text.data(), text.size()), options.tier));
  return options;
}

Result<void> calibrate(std::span<const sluice_dump> dumps, const sluice_calibration_options& given,
                       sluice_bytes** profile) {
  SLUICE_ASSIGN(const calibration::CalibrationOptions options, options_of(given));
  std::vector<calibration::Dump> views;
  for (const sluice_dump& dump : dumps) {
    const char* const name = dump.name == nullptr ? "" : dump.name;
    SLUICE_ASSIGN(calibration::Dump view, integration::read_calibration_dump(name, bytes_of(dump.file, dump.size)));
    views.push_back(std::move(view));
  }
  const kernels::KernelTable& kernels = kernels::available_kernels().front();
  Watch watch(given);
  SLUICE_ASSIGN(const calibration::CalibrationOutcome outcome, calibration::calibrate(kernels, views, options, watch));
  SLUICE_ASSIGN(std::vector<std::byte> file, codec::write_profile(kernels, outcome.contents));
  *profile = new sluice_bytes{std::move(file)};
  return {};
}

}  // namespace
}  // namespace sluice::capi

extern "C" {

uint32_t sluice_abi_version(void) { return SLUICE_ABI_VERSION; }

// Both are string literals, so they end in a zero.
const char* sluice_error_name(int32_t code) { return sluice::error_name(static_cast<sluice::ErrorCode>(code)).data(); }
const char* sluice_error_hint(int32_t code) { return sluice::error_hint(static_cast<sluice::ErrorCode>(code)).data(); }

const uint8_t* sluice_bytes_data(const sluice_bytes* bytes) {
  return reinterpret_cast<const uint8_t*>(bytes->content.data());
}
size_t sluice_bytes_size(const sluice_bytes* bytes) { return bytes->content.size(); }
void sluice_bytes_free(sluice_bytes* bytes) { delete bytes; }

int32_t sluice_profile_open(const void* file, size_t size, sluice_profile** profile, sluice_error* error) {
  return sluice::capi::guarded(error, [&]() -> sluice::Result<void> {
    SLUICE_ASSIGN(sluice::codec::Profile parsed,
                  sluice::codec::Profile::parse(sluice::kernels::available_kernels().front(),
                                                sluice::capi::bytes_of(file, size)));
    *profile = new sluice_profile{std::move(parsed)};
    return {};
  });
}
void sluice_profile_close(sluice_profile* profile) { delete profile; }

// The C ABI gives every pointer, size and outcome by itself.
// NOLINTNEXTLINE(readability-function-size)
int32_t sluice_codec_calibrate(const sluice_dump* dumps, size_t dump_count, const sluice_calibration_options* options,
                               sluice_bytes** profile, sluice_error* error) {
  return sluice::capi::guarded(error, [&]() -> sluice::Result<void> {
    if (options == nullptr || options->struct_size < sizeof(*options) || profile == nullptr) {
      return sluice::Error{sluice::ErrorCode::kInvalidArgument, 0, "calibration options size"};
    }
    return sluice::capi::calibrate({dumps, dump_count}, *options, profile);
  });
}

}  // extern "C"
