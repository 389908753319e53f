// `sluice codec inspect`: what a .slk or .slp file holds, and where its bytes go.
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>

#include "integration/codec_inspection.h"
#include "integration/mapped_file.h"
#include "integration/profile_file.h"
#include "integration/programs/codec_files.h"

namespace sluice::programs {
namespace {

using integration::MappedFile;
using nlohmann::json;

void print_text(const json& told, const char* rows_key) {
  for (const auto& [key, value] : told.items()) {
    if (key == rows_key) continue;
    std::printf("%-16s %s\n", key.c_str(), value.is_string() ? value.get<std::string>().c_str() : value.dump().c_str());
  }
  for (const auto& row : told[rows_key]) std::printf("%s\n", row.dump().c_str());
}

}  // namespace

Result<void> inspect_file(const CodecArguments& arguments, bool is_json) {
  const kernels::KernelTable& kernels = kernels::available_kernels().front();
  SLUICE_ASSIGN(const std::optional<codec::Profile> profile, integration::read_profile(kernels, arguments.profile));
  SLUICE_ASSIGN(const MappedFile in, MappedFile::open(arguments.in));
  SLUICE_ASSIGN(const json told, integration::inspect_codec_file(kernels, in.bytes(), profile ? &*profile : nullptr));
  if (is_json) {
    std::printf("%s\n", told.dump().c_str());
  } else {
    print_text(told, integration::is_profile_file(in.bytes()) ? "levels" : "parts");
  }
  return {};
}

}  // namespace sluice::programs
