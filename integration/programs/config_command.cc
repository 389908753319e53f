// `sluice config check|explain|init`: what a node would be told, where each value comes from, and a file to start from.
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "integration/programs/command_line.h"

namespace sluice::programs {
namespace {

ExitCode check(const ConfigArguments& arguments) {
  if (!load(arguments)) return ExitCode::kUsage;
  std::puts("ok");
  return ExitCode::kOk;
}

ExitCode explain(const ConfigArguments& arguments, bool json) {
  const std::optional<integration::LoadedConfig> loaded = load(arguments);
  if (!loaded) return ExitCode::kUsage;
  if (json) {
    nlohmann::json rows = nlohmann::json::array();
    for (const auto& row : loaded->origins) {
      rows.push_back({{"key", row.key}, {"value", row.value}, {"origin", row.origin}, {"doc", row.doc}});
    }
    std::printf("%s\n", rows.dump(2, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
    return ExitCode::kOk;
  }
  for (const auto& row : loaded->origins) {
    std::printf("%-34s %-28s %-12s  # %s\n", std::string(row.key).c_str(), row.value.c_str(), row.origin.c_str(),
                std::string(row.doc).c_str());
  }
  return ExitCode::kOk;
}

}  // namespace

void add_config_command(CLI::App& app, Invocation& invocation) {
  CLI::App* config = app.add_subcommand("config", "check, explain or make a configuration");
  config->require_subcommand(1);
  const auto arguments = std::make_shared<ConfigArguments>();  // lives as long as the callbacks that share it
  CLI::App* checking = config->add_subcommand("check", "load it as serve would, and say every problem");
  checking->add_option("FILE", arguments->file, "TOML file");
  add_config_arguments(*checking, *arguments);
  checking->callback([&invocation, arguments] { invocation.run = [arguments] { return check(*arguments); }; });
  CLI::App* explaining = config->add_subcommand("explain", "every value and where it came from");
  explaining->add_option("FILE", arguments->file, "TOML file");
  add_config_arguments(*explaining, *arguments);
  explaining->callback([&invocation, arguments] {
    invocation.run = [&invocation, arguments] { return explain(*arguments, invocation.json); };
  });
  CLI::App* making = config->add_subcommand("init", "print a commented file with every key at its default");
  making->callback([&invocation] {
    invocation.run = [] {
      std::fputs(integration::config_template().c_str(), stdout);
      return ExitCode::kOk;
    };
  });
}

}  // namespace sluice::programs
