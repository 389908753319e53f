#include "codec/run_encoder.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "codec/coefficient_class.h"

namespace sluice::codec {

void RunEncoder::clear() {
  runs_.clear();
  symbols_.clear();
  contexts_.clear();
  escapes_.clear();
}

std::span<std::uint8_t> RunEncoder::append(const kernels::RansTable& table, std::size_t count) {
  runs_.push_back({.tables = &table, .first = symbols_.size(), .count = count});
  symbols_.resize(symbols_.size() + count);
  return std::span(symbols_).last(count);
}

std::span<const std::int16_t> RunEncoder::gather(const RunPlan& plan, const Run& run,
                                                 std::span<const std::int16_t> indices,
                                                 std::vector<std::int16_t>& into) const {
  const std::span<const Piece> pieces = plan.pieces_of(run);
  if (pieces.size() == 1) return indices.subspan(pieces[0].offset, pieces[0].count);
  if (into.size() < run.symbols) into.resize(run.symbols);
  std::int16_t* next = into.data();
  for (const Piece& piece : pieces) next = std::copy_n(indices.data() + piece.offset, piece.count, next);
  return std::span(into).first(run.symbols);
}

void RunEncoder::add(const kernels::RansTable& table, std::span<const std::uint8_t> symbols) {
  const std::span<std::uint8_t> copy = append(table, symbols.size());
  std::copy(symbols.begin(), symbols.end(), copy.begin());
}

void RunEncoder::add_base(const RunPlan& plan, std::span<const std::int16_t> indices, EscapeForm form) {
  for (const Run& run : plan.runs) {
    const ClassCode code = class_code(run.coefficient_class);
    std::span<const std::int16_t> high = gather(plan, run, indices, gathered_);
    const std::span<const std::int16_t> whole = high;
    if (code.low_bits != 0) {
      gathered_fine_.resize(std::max(gathered_fine_.size(), whole.size()));
      for (std::size_t i = 0; i < whole.size(); ++i) {
        gathered_fine_[i] = static_cast<std::int16_t>((whole[i] + (1 << code.low_bits >> 1)) >> code.low_bits);
      }
      high = std::span(gathered_fine_).first(whole.size());
    }
    const std::uint32_t largest = tables_->largest[code.table];
    const std::span<std::uint8_t> symbols = append(tables_->base[code.table], run.symbols);
    if (kernels_->fold(high, largest, symbols) != 0) append_escapes(largest, symbols, high, form);
    if (code.low_bits == 0) continue;
    const std::int32_t half = 1 << code.low_bits >> 1;
    const std::span<std::uint8_t> low = append(tables_->uniform[code.low_bits], run.symbols);
    for (std::size_t i = 0; i < whole.size(); ++i) {
      low[i] = static_cast<std::uint8_t>((whole[i] + half) & (2 * half - 1));
    }
  }
}

void RunEncoder::add_refinement(std::size_t stage, const RunPlan& plan, std::span<const std::int16_t> coarse,
                                std::span<const std::int16_t> fine) {
  for (const Run& run : plan.runs) {
    const std::span<std::uint8_t> symbols =
        append(tables_->refinement[stage - 1][run.coefficient_class][0], run.symbols);
    runs_.back().has_contexts = true;
    runs_.back().first_context = contexts_.size();
    contexts_.resize(contexts_.size() + run.symbols);
    kernels_->fold_refinement(gather(plan, run, coarse, gathered_), gather(plan, run, fine, gathered_fine_), symbols,
                              std::span(contexts_).last(run.symbols));
  }
}

void RunEncoder::append_escapes(std::uint32_t largest, std::span<const std::uint8_t> symbols,
                                std::span<const std::int16_t> indices, EscapeForm form) {
  for (std::size_t i = 0; i < symbols.size(); ++i) {
    if (symbols[i] != 2 * largest + 1) continue;
    const std::int32_t index = indices[i];
    const std::int32_t excess = std::abs(index) - static_cast<std::int32_t>(largest) - 1;
    const bool is_long = form == EscapeForm::kWords || excess >= kLongEscape;
    if (form == EscapeForm::kBytes) {
      const std::int32_t sign = index < 0 ? kEscapeSign : 0;
      escapes_.push_back(static_cast<std::byte>(sign | std::min(excess, kLongEscape)));
    }
    if (!is_long) continue;
    std::array<std::byte, 2> word;
    std::memcpy(word.data(), &indices[i], word.size());
    escapes_.insert(escapes_.end(), word.begin(), word.end());
  }
}

kernels::RansWriter RunEncoder::encode(std::span<std::byte> room) const {
  kernels::RansWriter writer = kernels::open_rans_writer(room);
  for (std::size_t i = runs_.size(); i-- > 0;) {
    const SymbolRun& run = runs_[i];
    const auto symbols = std::span<const std::uint8_t>(symbols_).subspan(run.first, run.count);
    if (!run.has_contexts) {
      kernels_->rans_encode(writer, *run.tables, symbols);
      continue;
    }
    const auto contexts = std::span<const std::uint8_t>(contexts_).subspan(run.first_context, run.count);
    kernels_->rans_encode_context(writer, {run.tables, kernels::kRefinementContexts}, contexts, symbols);
  }
  return writer;
}

}  // namespace sluice::codec
