// The llama.cpp engine: real prefill and decode on a CPU through llama.cpp's public C API, without a patch. Prefill
// gives rows layer by layer while it computes; restore hands the whole cache over as one state blob.
// Invariants: prefill, recompute and the reference split a prompt alike and use one thread by default, so that a raw
// hand-over gives bit-identical tokens and logits. The cache is F16, rows not transposed (flash attention on).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>

#include "base/clock.h"
#include "base/quantity.h"
#include "base/result.h"
#include "integration/engine.h"
#include "kernels/digest.h"

namespace sluice::integration::llama_cpp {

/// What to load and how to run it.
struct LlamaEngineOptions {
  std::filesystem::path model_path;   ///< a GGUF file
  Tokens context_tokens = Tokens(0);  ///< 0: what the model was trained for; its cache is allocated at once
  Tokens chunk_tokens = Tokens(256);  ///< tokens computed at once; the same on both sides
  std::uint32_t threads = 1;          ///< more is faster and gives other last bits; the same on both sides
};

/// Loads a model. Takes about as long as reading the file once.
/// Side effect: llama.cpp's process-wide log is switched off; failures come back as errors.
/// Errors:  kModelMissing, kInvalidArgument (chunk or threads of zero, a context beyond the model's), kUnsupported (a
///          model with a sliding window, recurrent state or an encoder, or a build without llama.cpp), kEngineFailed.
/// Ownership: the clock must outlive the engine.
Result<std::unique_ptr<Engine>> open_llama_engine(const LlamaEngineOptions& options, kernels::DigestFn& digest,
                                                  const Clock& clock);

}  // namespace sluice::integration::llama_cpp
