// What CMake knew about this build.
#pragma once

namespace sluice::programs {

/// Version of the tree, and which optional parts are in this program.
struct BuildFacts {
  const char* version;
  bool has_ucx;
  bool has_llama_cpp;
};

/// Threads: pure.
BuildFacts build_facts();

}  // namespace sluice::programs
