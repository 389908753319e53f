// "Did you mean ...?": the known word that a misspelt one is closest to. Used for configuration keys and subcommands.
#pragma once

#include <span>
#include <string_view>

namespace sluice::integration {

/// The entry of `known` with the fewest single-letter edits from `word`; empty when even that is more than half of the
/// word's letters, since a far guess misleads.  Threads: pure.
std::string_view nearest_word(std::string_view word, std::span<const std::string_view> known);

}  // namespace sluice::integration
