#include "codec/calibration/corpus.h"

#include <algorithm>

namespace sluice::codec::calibration {

Corpus::Corpus(const kernels::KernelTable& kernels, std::span<const Dump> dumps) : dumps_(dumps), reader_(kernels) {
  for (std::size_t index = 0; index < dumps.size(); ++index) {
    const Dump& dump = dumps[index];
    const std::uint64_t sinks = dump.sinks();
    if (dump.shape.tokens.count() <= sinks) continue;
    TextRange text;
    text.dump = index;
    text.first = tokens_;
    text.tokens = static_cast<Eigen::Index>(dump.shape.tokens.count() - sinks);
    text.position = static_cast<double>(dump.first_position.value() + sinks);
    text.request_tokens = static_cast<double>(dump.first_position.value() + dump.shape.tokens.count());
    tokens_ += text.tokens;
    texts_.push_back(text);
  }
}

void Corpus::read(LayerIndex layer, Side side, Samples& out) {
  for (const TextRange& text : texts_) {
    reader_.read(dumps_[text.dump], layer, side, one_);
    if (out.rows() != tokens_ || out.cols() != one_.cols()) out.resize(tokens_, one_.cols());
    out.middleRows(text.first, text.tokens) = one_.bottomRows(text.tokens);
  }
}

void Corpus::read_gradient_energy(const TextRange& text, LayerIndex layer, TextEnergy& out) {
  const Dump& dump = dumps_[text.dump];
  const auto sinks = static_cast<Eigen::Index>(dump.sinks());
  const auto tokens = static_cast<Eigen::Index>(dump.gradient_tokens.count()) - sinks;
  out.request_tokens = static_cast<double>(dump.first_position.value() + dump.gradient_tokens.count());
  for (const Side side : {Side::kKey, Side::kValue}) {
    Samples& energy = out.energy[static_cast<std::size_t>(side)];
    energy = Samples::Zero(tokens, static_cast<Eigen::Index>(dump.shape.row_values()));
    for (std::uint64_t row = 0; row < dump.gradient_rows; ++row) {
      reader_.read_gradient(dump, {row, layer, side}, one_);
      energy += one_.bottomRows(tokens).cwiseAbs2();
    }
    energy /= static_cast<float>(dump.gradient_rows);
  }
}

void Corpus::read_attention_energy(const TextRange& text, LayerIndex layer, TextEnergy& out) {
  const Dump& dump = dumps_[text.dump];
  out.request_tokens = text.request_tokens;
  one_.resize(static_cast<Eigen::Index>(dump.shape.tokens.count()), 1);
  reader_.read_rows(dump.attention, layer.value() * dump.shape.tokens.count(), one_);
  out.energy[0] = one_.bottomRows(text.tokens).cwiseAbs2();
  out.energy[1] = out.energy[0];
}

std::vector<TextEnergy> Corpus::read_energies(LayerIndex layer) {
  const bool by_gradient = std::ranges::any_of(dumps_, &Dump::has_gradients);
  std::vector<TextEnergy> energies;
  for (std::size_t index = 0; index < texts_.size(); ++index) {
    const TextRange& text = texts_[index];
    const Dump& dump = dumps_[text.dump];
    TextEnergy energy;
    energy.text = index;
    if (by_gradient && dump.has_gradients() && dump.gradient_tokens.count() > dump.sinks()) {
      read_gradient_energy(text, layer, energy);
    } else if (!by_gradient && dump.attention.is_there()) {
      read_attention_energy(text, layer, energy);
    } else {
      continue;
    }
    energies.push_back(std::move(energy));
  }
  return energies;
}

}  // namespace sluice::codec::calibration
