#include "integration/programs/version.h"

namespace sluice::programs {

BuildFacts build_facts() { return {SLUICE_VERSION, SLUICE_HAS_UCX, SLUICE_HAS_LLAMA_CPP}; }

}  // namespace sluice::programs
