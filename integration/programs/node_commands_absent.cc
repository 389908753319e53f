// Builds without a node (no transport or codec to link): the commands that need one say so.
#include "integration/programs/command_line.h"

namespace sluice::programs {

void add_node_commands(CLI::App&, Invocation&) {}

}  // namespace sluice::programs
