#include "integration/store.h"

#include <cstring>
#include <utility>

#include "kernels/table.h"

namespace sluice::integration {

Bytes StoredPrompt::size() const {
  Bytes total(tokens.size() * sizeof(TokenId));
  for (const auto& unit : units) {
    if (unit == nullptr) continue;
    for (const StoredPart& part : *unit) total += Bytes(part.bytes.size());
  }
  return total;
}

PrefixKey prefix_key(ContentHash model, std::span<const TokenId> tokens) {
  constexpr std::uint64_t kSecondSeed = 0x736c756963655f32U;
  const auto bytes = std::as_bytes(tokens);
  const auto& digest = *kernels::ref_kernels().digest;
  return {digest(bytes, model.value()), digest(bytes, model.value() ^ kSecondSeed)};
}

Result<void> Store::put(const PrefixKey& key, std::shared_ptr<const StoredPrompt> prompt) {
  const Bytes size = prompt->size();
  if (size > capacity_) return Error{ErrorCode::kNoMemory, 0, "store"};
  if (const auto old = entries_.find(key); old != entries_.end()) erase(old);
  while (used_ + size > capacity_) erase(entries_.find(ages_.front()));
  used_ += size;
  ages_.push_back(key);
  entries_[key] = {std::move(prompt), std::prev(ages_.end())};
  return {};
}

std::shared_ptr<const StoredPrompt> Store::find(const PrefixKey& key) {
  const auto entry = entries_.find(key);
  if (entry == entries_.end()) return nullptr;
  ages_.splice(ages_.end(), ages_, entry->second.age);
  return entry->second.prompt;
}

void Store::erase(std::map<PrefixKey, Entry>::iterator entry) {
  used_ -= entry->second.prompt->size();
  ages_.erase(entry->second.age);
  entries_.erase(entry);
}

}  // namespace sluice::integration
