// The tokens that teach, of all dumps one after the other: a dump's first tokens (sinks) are left out. Place in the
// flow: each pass over the model reads one layer's samples here, uses them and lets them go, so memory is that of a few
// layers, whatever the number of layers. Invariant: row r of every matrix of a layer is the same token.
#pragma once

#include <array>
#include <span>
#include <vector>

#include "codec/calibration/dump.h"
#include "codec/calibration/matrix.h"

namespace sluice::codec::calibration {

/// Where a dump's tokens stand in the rows of the corpus.
struct TextRange {
  std::size_t dump = 0;
  Eigen::Index first = 0;     ///< row
  Eigen::Index tokens = 0;    ///< without sinks
  double position = 0;        ///< of the first row's token in its request
  double request_tokens = 0;  ///< of the whole text, where gradients are not asked for
};

/// What is known of the gradients (or the attention) of one text at one layer.
struct TextEnergy {
  std::size_t text = 0;           ///< index into texts()
  double request_tokens = 0;      ///< tokens that the scored ones looked back on
  std::array<Samples, 2> energy;  ///< [tokens][width] mean g^2 of K and V; or attention^2, one column
};

/// Threads: one call at a time.
class Corpus {
 public:
  /// Ownership: views the dumps, which must outlive it.
  Corpus(const kernels::KernelTable& kernels, std::span<const Dump> dumps);

  Eigen::Index tokens() const { return tokens_; }
  const std::vector<TextRange>& texts() const { return texts_; }

  /// [tokens()][width] of K without RoPE or V of one layer.
  void read(LayerIndex layer, Side side, Samples& out);
  /// Energies of one layer: of gradients where dumps have them, else of attention, else nothing.
  std::vector<TextEnergy> read_energies(LayerIndex layer);

 private:
  void read_gradient_energy(const TextRange& text, LayerIndex layer, TextEnergy& out);
  void read_attention_energy(const TextRange& text, LayerIndex layer, TextEnergy& out);

  std::span<const Dump> dumps_;
  DumpReader reader_;
  std::vector<TextRange> texts_;
  Eigen::Index tokens_ = 0;
  Samples one_;
};

}  // namespace sluice::codec::calibration
