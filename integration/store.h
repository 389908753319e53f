// Encoded prompts kept in memory for reuse: what a prefill computed once is served again without the engine. Bounded;
// the least recently used prompt goes first, and never one that is being sent (holders share it).
#pragma once

#include <list>
#include <map>
#include <memory>
#include <vector>

#include "base/identity.h"
#include "base/quantity.h"
#include "base/result.h"
#include "integration/geometry.h"

namespace sluice::integration {

/// One part of one unit as it goes over the wire.
struct StoredPart {
  Part part = Part::kBase;
  std::vector<std::byte> bytes;
};
using StoredUnit = std::vector<StoredPart>;

/// All units of one prompt in the order of Geometry::place. Constant once stored.
struct StoredPrompt {
  Geometry geometry;
  std::vector<TokenId> tokens;
  std::vector<std::shared_ptr<const StoredUnit>> units;
  Bytes size() const;
};

/// The key of a prompt's KV: two independently seeded XXH3-64 over model hash and token ids.  Threads: pure.
PrefixKey prefix_key(ContentHash model, std::span<const TokenId> tokens);

/// Threads: one (the loop's).
class Store {
 public:
  explicit Store(Bytes capacity) : capacity_(capacity) {}

  /// Replaces what stood under the key.  Errors: kNoMemory for a prompt larger than the whole store.
  Result<void> put(const PrefixKey& key, std::shared_ptr<const StoredPrompt> prompt);
  /// nullptr when there is none.
  std::shared_ptr<const StoredPrompt> find(const PrefixKey& key);
  Bytes used() const { return used_; }
  std::size_t prompts() const { return entries_.size(); }

 private:
  struct Entry {
    std::shared_ptr<const StoredPrompt> prompt;
    std::list<PrefixKey>::iterator age;
  };
  void erase(std::map<PrefixKey, Entry>::iterator entry);

  Bytes capacity_;
  Bytes used_;
  std::list<PrefixKey> ages_;  // oldest first
  std::map<PrefixKey, Entry> entries_;
};

}  // namespace sluice::integration
