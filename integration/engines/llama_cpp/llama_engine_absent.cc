// Stands in for llama_engine.cc in a build without llama.cpp (SLUICE_LLAMA_CPP off, or its library not found).
#include "integration/engines/llama_cpp/llama_engine.h"

namespace sluice::integration::llama_cpp {

Result<std::unique_ptr<Engine>> open_llama_engine(const LlamaEngineOptions&, kernels::DigestFn&, const Clock&) {
  return Error{ErrorCode::kUnsupported, 0, "built without llama.cpp"};
}

}  // namespace sluice::integration::llama_cpp
