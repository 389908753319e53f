// `sluice codec calibrate`: dumps of K, V and gradients of a model (safetensors) to its profile. Writes the profile
// whole or not at all; an interrupt ends it between two layers with nothing written.
#include <unistd.h>
#include <csignal>
#include <cstdio>
#include <deque>
#include <memory>
#include <nlohmann/json.hpp>

#include "integration/calibration_dump.h"
#include "integration/file_output.h"
#include "integration/mapped_file.h"
#include "integration/profile_file.h"
#include "integration/programs/command_line.h"
#include "kernels/table.h"
#include "transport/asio.h"

namespace sluice::programs {
namespace {

namespace calibration = codec::calibration;
using integration::MappedFile;

/// What was typed after `sluice codec calibrate`.
struct CalibrateArguments {
  std::string out;
  std::vector<std::string> dumps;
  std::string sensitivity;
  std::string profile;
  std::vector<std::string> levels;
  unsigned tier = 2;
  unsigned layers_back = 2;
  unsigned intra_every = 8;
};

/// Tells how far it is on standard error, once it takes longer than two seconds, and hears interrupts.
class Progress final : public calibration::CalibrationWatch {
 public:
  Progress() : signals_(loop_, SIGINT, SIGTERM), is_terminal_(::isatty(STDERR_FILENO) == 1) {
    signals_.async_wait([this](const auto&, int) { is_stopped_ = true; });
  }
  ~Progress() override {
    if (is_line_open_) std::fputs("\n", stderr);
  }

  bool on_progress(const char* phase, double share) override {
    loop_.poll();
    const auto now = std::chrono::steady_clock::now();
    const auto patience = is_terminal_ ? kTerminalPause : kLogPause;
    if (now - start_ >= kQuiet && (!is_told_ || now - told_ >= patience)) {
      std::fprintf(stderr, "%scalibrate: %s %d %%%s", is_terminal_ ? "\r" : "", phase, static_cast<int>(100 * share),
                   is_terminal_ ? "\033[K" : "\n");
      std::fflush(stderr);
      is_line_open_ = is_terminal_;
      is_told_ = true;
      told_ = now;
    }
    return !is_stopped_;
  }

 private:
  static constexpr std::chrono::milliseconds kQuiet{2000}, kTerminalPause{200}, kLogPause{10000};
  boost::asio::io_context loop_;
  boost::asio::signal_set signals_;
  bool is_terminal_;
  bool is_stopped_ = false;
  bool is_told_ = false;
  bool is_line_open_ = false;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::chrono::steady_clock::time_point told_;
};

/// NAME=KL or NAME=KL:STAGES.
Result<calibration::LevelTarget> parse_level(const std::string& text) {
  const Error wrong{ErrorCode::kInvalidArgument, 0, "--level NAME=KL[:STAGES]"};
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) return wrong;
  calibration::LevelTarget level;
  level.name = text.substr(0, equals);
  unsigned stages = 1;
  int end = 0;
  int end_with_stages = 0;
  const char* number = text.c_str() + equals + 1;
  if (std::sscanf(number, "%lf%n:%u%n", &level.kl, &end, &stages, &end_with_stages) < 1) return wrong;
  const auto used = static_cast<std::size_t>(end_with_stages > 0 ? end_with_stages : end);
  if (equals + 1 + used != text.size()) return wrong;
  level.stages = Stages(stages);
  return level;
}

Result<calibration::CalibrationOptions> options_of(const CalibrateArguments& arguments) {
  calibration::CalibrationOptions options;
  options.tier = static_cast<codec::Tier>(arguments.tier);
  options.layers_back = static_cast<std::uint8_t>(arguments.layers_back);
  options.intra_every = static_cast<std::uint8_t>(arguments.intra_every);
  options.levels = calibration::usual_levels();
  if (!arguments.levels.empty()) options.levels.clear();
  for (const std::string& text : arguments.levels) {
    SLUICE_ASSIGN(calibration::LevelTarget level, parse_level(text));
    options.levels.push_back(std::move(level));
  }
  if (arguments.sensitivity.empty()) return options;
  SLUICE_ASSIGN(const MappedFile file, MappedFile::open(arguments.sensitivity));
  SLUICE_ASSIGN(options.measured, integration::read_kl_curve(file.bytes(), options.tier));
  return options;
}

/// Files stay mapped as long as the dumps that view them.
struct Dumps {
  std::deque<MappedFile> files;
  std::vector<calibration::Dump> views;
};

const char* source_name(calibration::SensitivitySource source) {
  constexpr std::array<const char*, 3> kNames{"gradients", "queries and output projection", "head rms (no gradients)"};
  return kNames.at(static_cast<std::size_t>(source));
}

void tell(bool json, const CalibrateArguments& arguments, const calibration::CalibrationOutcome& outcome,
          std::size_t bytes) {
  nlohmann::json levels = nlohmann::json::array();
  for (const codec::ProfileLevel& level : outcome.contents.levels) {
    for (std::size_t stage = 0; stage < level.stages.count(); ++stage) {
      levels.push_back({{"level", level.name},
                        {"stages", stage + 1},
                        {"step", level.step},
                        {"bits_per_value", level.quality[stage].bits_per_value},
                        {"kl_mean", level.quality[stage].kl_mean}});
    }
  }
  if (json) {
    const nlohmann::json told = {{"profile", arguments.out},
                                 {"bytes", bytes},
                                 {"tier", arguments.tier},
                                 {"tokens", outcome.tokens},
                                 {"weights_from", source_name(outcome.source)},
                                 {"token_classes", outcome.has_token_classes},
                                 {"kl_is_measured", !arguments.sensitivity.empty()},
                                 {"levels", levels}};
    std::printf("%s\n", told.dump().c_str());
    return;
  }
  std::printf("calibrated tier %u on %llu tokens, weights from %s, token classes %s: profile %zu bytes\n",
              arguments.tier, static_cast<unsigned long long>(outcome.tokens), source_name(outcome.source),
              outcome.has_token_classes ? "yes" : "no", bytes);
  for (const auto& row : levels) {
    std::printf("level %-12s stages %d  step %.6f  %7.3f bits per value  KL %.5f (%s)\n",
                row["level"].get<std::string>().c_str(), row["stages"].get<int>(), row["step"].get<double>(),
                row["bits_per_value"].get<double>(), row["kl_mean"].get<double>(),
                arguments.sensitivity.empty() ? "predicted" : "measured");
  }
}

/// What went wrong with the dumps themselves, named; else the error as it is.
ExitCode fail_on_dumps(const Error& error, const Dumps& dumps) {
  std::string fault = calibration::find_shape_fault(dumps.views);
  for (std::size_t i = 0; i < dumps.views.size() && fault.empty() && error.code == ErrorCode::kUnsupported; ++i) {
    fault = calibration::find_value_fault(kernels::available_kernels().front(), dumps.views[i]);
  }
  if (fault.empty()) return fail("codec calibrate", error);
  return fail(exit_code_of(error.code), "codec calibrate: " + std::string(error_name(error.code)) + ": " + fault);
}

/// Puts the measured curve into a profile that there is; nothing else of it changes.
Result<std::size_t> restate(const CalibrateArguments& arguments) {
  const kernels::KernelTable& kernels = kernels::available_kernels().front();
  SLUICE_ASSIGN(const std::optional<codec::Profile> profile, integration::read_profile(kernels, arguments.profile));
  codec::ProfileContents contents = profile->contents();
  SLUICE_ASSIGN(const MappedFile curve, MappedFile::open(arguments.sensitivity));
  SLUICE_ASSIGN(const auto points, integration::read_kl_curve(curve.bytes(), contents.tier));
  for (codec::ProfileLevel& level : contents.levels) calibration::state_measured(points, level);
  SLUICE_ASSIGN(const std::vector<std::byte> file, codec::write_profile(kernels, contents));
  SLUICE_TRY(integration::replace_file(arguments.out, file));
  return file.size();
}

ExitCode run_restate(const CalibrateArguments& arguments, bool json) {
  const Result<std::size_t> bytes = restate(arguments);
  if (!bytes) return fail("codec calibrate " + arguments.profile, bytes.error());
  const nlohmann::json told = {{"profile", arguments.out}, {"bytes", *bytes}, {"kl_is_measured", true}};
  if (json) {
    std::printf("%s\n", told.dump().c_str());
  } else {
    std::printf("stated the measured curve in a profile of %zu bytes\n", *bytes);
  }
  return ExitCode::kOk;
}

ExitCode calibrate(const CalibrateArguments& arguments, bool json) {
  if (!arguments.profile.empty()) return run_restate(arguments, json);
  Result<calibration::CalibrationOptions> options = options_of(arguments);
  if (!options) return fail("codec calibrate", options.error());
  Dumps dumps;
  for (const std::string& path : arguments.dumps) {
    Result<MappedFile> file = MappedFile::open(path);
    if (!file) return fail("codec calibrate " + path, file.error());
    dumps.files.push_back(std::move(file).value());
    Result<calibration::Dump> dump = integration::read_calibration_dump(path, dumps.files.back().bytes());
    if (!dump) return fail("codec calibrate " + path, dump.error());
    dumps.views.push_back(std::move(dump).value());
  }
  const kernels::KernelTable& kernels = kernels::available_kernels().front();
  Progress progress;
  const Result<calibration::CalibrationOutcome> outcome =
      calibration::calibrate(kernels, dumps.views, *options, progress);
  if (!outcome) return fail_on_dumps(outcome.error(), dumps);
  const Result<std::vector<std::byte>> file = codec::write_profile(kernels, outcome->contents);
  if (!file) return fail("codec calibrate: profile", file.error());
  const Result<void> written = integration::replace_file(arguments.out, *file);
  if (!written) return fail("codec calibrate " + arguments.out, written.error());
  tell(json, arguments, *outcome, file->size());
  return ExitCode::kOk;
}

}  // namespace

void add_calibrate_command(CLI::App& codec, Invocation& invocation) {
  CLI::App* command = codec.add_subcommand("calibrate", "dumps of a model's KV cache and gradients to its profile");
  const auto arguments = std::make_shared<CalibrateArguments>();  // lives as long as the callback that shares it
  command->add_option("--out", arguments->out, "profile to write (.slp)")->required();
  CLI::Option_group* source = command->add_option_group("source", "what the profile is made of");
  source->add_option("--kv", arguments->dumps, "safetensors with k and v; gk and gv, q and wo, attn where known")
      ->expected(1, 4096);
  CLI::Option* profile = source->add_option("--profile", arguments->profile,
                                            "a profile, to state the measured curve in; nothing else of it changes");
  source->require_option(1);
  command->add_option("--tier", arguments->tier, "1: per head, 2: per layer, 3: with prediction across layers (2)")
      ->check(CLI::Range(1, 3));
  CLI::Option* curve =
      command->add_option("--sensitivity", arguments->sensitivity, "JSON with a measured curve of KL over step");
  profile->needs(curve);
  command->add_option("--level", arguments->levels, "NAME=KL[:STAGES] instead of the usual levels; may be repeated");
  command->add_option("--layers-back", arguments->layers_back, "tier 3: layers that predict (2)")
      ->check(CLI::Range(0, 4));
  command->add_option("--intra-every", arguments->intra_every, "tier 3: distance of unpredicted layers (8)")
      ->check(CLI::Range(1, 255));
  command->callback([&invocation, arguments] {
    invocation.run = [&invocation, arguments] { return calibrate(*arguments, invocation.json); };
  });
}

}  // namespace sluice::programs
