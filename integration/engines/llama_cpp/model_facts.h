// What the engine must know of a loaded llama.cpp model: its cache's extent, its rotation, and hashes of the weights
// and of the library. Place in the flow: open_llama_engine. Invariant: what is not understood is refused or, for the
// rotation, called unknown (kNone); it is never guessed.
#pragma once

#include "base/result.h"
#include "integration/engine.h"
#include "integration/engines/llama_cpp/llama_engine.h"
#include "kernels/digest.h"

struct llama_model;

namespace sluice::integration::llama_cpp {

/// Errors:  kUnsupported (sliding window, recurrent, encoder, uneven heads), kInvalidArgument (context beyond the
///          model's), kModelMissing, kEngineFailed.
/// Threads: pure.
Result<ModelDescription> describe_model(const llama_model& model, const LlamaEngineOptions& options,
                                        kernels::DigestFn& digest);

}  // namespace sluice::integration::llama_cpp
