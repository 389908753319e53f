// Which channels of a lossless unit share a table, and the tables. Encoder only: the result is sent.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "codec/top_table.h"

namespace sluice::codec {

inline constexpr std::size_t kMaxGroups = 128;

/// Groups the channels of one unit by how their tops are distributed. Grows to the largest unit seen, then is reused.
/// Threads: one call at a time.
class ChannelGroups {
 public:
  /// Forgets the channels of the last unit. top_bits: of a top; the highest is its sign.
  void start(unsigned top_bits);
  /// Adds channels: tops = [channels][tokens].
  void add(std::span<const std::uint16_t> tops, std::size_t tokens);
  /// Fills groups() and tables().  Precondition: a value was added.
  void fit();

  std::span<const std::uint8_t> groups() const { return group_of_; }  ///< [channels]
  std::span<const TopTable> tables() const { return tables_; }

 private:
  /// How often a channel has one top.
  struct Count {
    std::uint16_t top = 0;
    std::uint16_t times = 0;
  };
  std::span<const Count> counts_of(std::size_t channel) const;
  void first_grouping(std::size_t groups);
  void sum_groups(std::size_t groups);
  void reassign(std::size_t groups);
  std::size_t drop_empty_groups(std::size_t groups);
  void fit_tables(std::size_t groups);

  unsigned top_bits_ = 0;
  std::size_t values_ = 0;
  std::vector<Count> counts_;           ///< channel by channel, of tops that occur
  std::vector<std::size_t> first_;      ///< [channels + 1] into counts_
  std::vector<std::uint8_t> group_of_;  ///< [channels]
  std::vector<std::uint32_t> order_;    ///< [channels] scratch
  std::vector<float> exponents_;        ///< [channels] mean exponent
  std::vector<float> negatives_;        ///< [channels] share of negative values
  std::vector<std::uint32_t> sums_;     ///< [groups][tops]
  std::vector<float> bits_;             ///< [tops][groups] what a top costs
  std::vector<TopTable> tables_;
};

}  // namespace sluice::codec
