// Parts by name, as reports, decisions, metrics and level options spell them.
#pragma once

#include <string_view>

#include "base/identity.h"

namespace sluice::codec {

/// The stable name of a part, for instance "refinement1".  Threads: pure.
std::string_view part_name(Part part);

}  // namespace sluice::codec
