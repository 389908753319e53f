#include "codec/run_encoder.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "codec/coefficient_class.h"

namespace sluice::codec {

std::size_t find_symbol(std::span<const std::uint8_t> symbols, std::uint8_t symbol, std::size_t from) {
  if (from >= symbols.size()) return symbols.size();
  const void* const found = std::memchr(symbols.data() + from, symbol, symbols.size() - from);
  return found == nullptr ? symbols.size()
                          : static_cast<std::size_t>(static_cast<const std::uint8_t*>(found) - symbols.data());
}

std::span<std::uint8_t> GrowingBytes::append(std::size_t count) {
  if (bytes_.size() < used_ + count) bytes_.resize(std::max(2 * bytes_.size(), used_ + count));
  used_ += count;
  return std::span(bytes_).subspan(used_ - count, count);
}

void RunEncoder::clear() {
  runs_.clear();
  counts_.clear();
  symbols_.clear();
  contexts_.clear();
  escapes_.clear();
}

std::span<std::uint8_t> RunEncoder::append(const kernels::RansEncodeRun& run, std::size_t count) {
  runs_.push_back(run);
  counts_.push_back(count);
  return symbols_.append(count);
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
  const std::span<std::uint8_t> copy = append({.table = &table}, symbols.size());
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
    const std::span<std::uint8_t> symbols = append({.table = &tables_->base[code.table]}, run.symbols);
    if (kernels_->fold(high, largest, symbols) != 0) append_escapes(largest, symbols, high, form);
    if (code.low_bits == 0) continue;
    const std::int32_t half = 1 << code.low_bits >> 1;
    const std::span<std::uint8_t> low = append({.table = &tables_->uniform[code.low_bits]}, run.symbols);
    for (std::size_t i = 0; i < whole.size(); ++i) {
      low[i] = static_cast<std::uint8_t>((whole[i] + half) & (2 * half - 1));
    }
  }
}

void RunEncoder::add_refinement(std::size_t stage, const RunPlan& plan, std::span<const std::int16_t> coarse,
                                std::span<const std::int16_t> fine) {
  for (const Run& run : plan.runs) {
    const std::span<std::uint8_t> symbols =
        append({.by_context = &tables_->refinement[stage - 1][run.coefficient_class]}, run.symbols);
    kernels_->fold_refinement(gather(plan, run, coarse, gathered_), gather(plan, run, fine, gathered_fine_), symbols,
                              contexts_.append(run.symbols));
  }
}

void RunEncoder::append_escapes(std::uint32_t largest, std::span<const std::uint8_t> symbols,
                                std::span<const std::int16_t> indices, EscapeForm form) {
  const auto escape = static_cast<std::uint8_t>(2 * largest + 1);
  for (std::size_t i = find_symbol(symbols, escape, 0); i < symbols.size(); i = find_symbol(symbols, escape, i + 1)) {
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

std::span<const kernels::RansEncodeRun> RunEncoder::runs() {
  std::span<const std::uint8_t> symbols = symbols_.all();
  const std::uint8_t* contexts = contexts_.all().data();
  for (std::size_t i = 0; i < runs_.size(); ++i) {
    runs_[i].symbols = symbols.first(counts_[i]);
    symbols = symbols.subspan(counts_[i]);
    if (runs_[i].by_context == nullptr) continue;
    runs_[i].contexts = contexts;
    contexts += counts_[i];
  }
  return runs_;
}

}  // namespace sluice::codec
