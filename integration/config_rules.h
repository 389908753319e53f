// The rules between values of a configuration: what each alone may be is the table's, what they may be together is
// here.
#pragma once

#include <string>
#include <vector>

#include "integration/config.h"

namespace sluice::integration {

/// One line for each rule that is broken, each saying what to do; empty when all hold.  Threads: pure.
std::vector<std::string> check_config_rules(const Config& config);

}  // namespace sluice::integration
