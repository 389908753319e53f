#include "integration/profile_file.h"

#include <utility>

#include "integration/mapped_file.h"

namespace sluice::integration {

Result<std::optional<codec::Profile>> read_profile(const kernels::KernelTable& kernels, const std::string& path) {
  if (path.empty()) return std::optional<codec::Profile>();
  SLUICE_ASSIGN(const MappedFile file, MappedFile::open(path));
  SLUICE_ASSIGN(codec::Profile profile, codec::Profile::parse(kernels, file.bytes()));
  return std::optional<codec::Profile>(std::move(profile));
}

}  // namespace sluice::integration
