// One prompt's real KV as a .slk file (lossless) and a JSON text that says what it is. Place in the flow: made once by
// record_kv with the llama.cpp engine, read by the recorded engine. Invariants: a recording is accepted only when both
// halves agree and the rows decode; what it claims (model, tokens, hash of logits) was measured when it was made.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/identity.h"
#include "base/result.h"
#include "integration/engine.h"
#include "integration/kv_planes.h"
#include "kernels/table.h"

namespace sluice::integration::recorded {

/// What a recording holds.
struct Recording {
  ModelDescription description;           ///< of the engine that it was made with
  std::string text;                       ///< the prompt
  std::vector<TokenId> prompt;            ///< its tokens; the KV is of all but the last
  std::vector<TokenId> greedy;            ///< what the model answered
  ContentHash logits_hash;                ///< of the greedy steps
  std::map<TokenId, std::string> pieces;  ///< text of each token that occurs
  KvPlanes planes;
};

/// Errors:  those of the container and its decoder; kBadField (the JSON), kIncompatibleLayout (the halves disagree).
/// Threads: pure.
Result<Recording> parse_recording(const kernels::KernelTable& kernels, std::span<const std::byte> container,
                                  std::string_view facts);

/// The recording at `path` (NAME.slk, with NAME.json beside it), or the one inside the program for an empty path.
/// Errors:  those of MappedFile::open and parse_recording.
Result<Recording> load_recording(const kernels::KernelTable& kernels, const std::filesystem::path& path);

/// The JSON half.  Threads: pure.
std::string write_facts(const Recording& recording);

/// The two files that are part of the program.  Threads: immutable.
std::span<const std::byte> built_in_container();
std::string_view built_in_facts();

}  // namespace sluice::integration::recorded
