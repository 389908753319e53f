#include "codec/run_decoder.h"

#include <algorithm>

#include "codec/byte_order.h"
#include "codec/coefficient_class.h"

namespace sluice::codec {
namespace {

template <typename T>
std::span<T> grown(std::vector<T>& scratch, std::size_t size) {
  if (scratch.size() < size) scratch.resize(size);
  return std::span(scratch).first(size);
}

}  // namespace

bool RunDecoder::read_base(const RunPlan& plan, StreamReader& reader, std::span<std::int16_t> indices) {
  for (const Run& run : plan.runs) {
    const std::span<const Piece> pieces = plan.pieces_of(run);
    if (pieces.size() == 1) {
      if (!read_run(run, reader, indices.subspan(pieces[0].offset, pieces[0].count))) return false;
      continue;
    }
    const std::span<std::int16_t> whole = grown(run_, run.symbols);
    if (!read_run(run, reader, whole)) return false;
    const std::int16_t* next = whole.data();
    for (const Piece& piece : pieces) {
      std::copy_n(next, piece.count, indices.data() + piece.offset);
      next += piece.count;
    }
  }
  return true;
}

bool RunDecoder::read_run(const Run& run, StreamReader& reader, std::span<std::int16_t> indices) {
  const ClassCode code = class_code(run.coefficient_class);
  const std::uint32_t largest = tables_->largest[code.table];
  const std::span<std::uint8_t> symbols = grown(symbols_, indices.size());
  kernels_->rans_decode(reader.words, tables_->base[code.table], symbols);
  if (kernels_->unfold(symbols, largest, indices) != 0 && !fill_escapes(largest, reader, indices)) return false;
  if (code.low_bits == 0) return true;
  kernels_->rans_decode(reader.words, tables_->uniform[code.low_bits], symbols);
  const std::int32_t half = 1 << code.low_bits >> 1;
  for (std::size_t i = 0; i < indices.size(); ++i) {
    const std::int32_t index = indices[i] * 2 * half + symbols[i] - half;
    indices[i] = static_cast<std::int16_t>(std::clamp(index, -kernels::kLargestIndex, kernels::kLargestIndex));
  }
  return true;
}

bool RunDecoder::fill_escapes(std::uint32_t largest, StreamReader& reader, std::span<std::int16_t> indices) const {
  const auto take = [&reader](std::size_t size) {
    const std::span<const std::byte> taken = reader.escapes.first(size);
    reader.escapes = reader.escapes.subspan(size);
    return taken;
  };
  for (std::size_t i = 0; i < indices.size(); ++i) {
    if (symbols_[i] != 2 * largest + 1) continue;
    std::int32_t code = kLongEscape;
    if (reader.form == EscapeForm::kBytes) {
      if (reader.escapes.empty()) return false;
      code = static_cast<std::int32_t>(take(1)[0]);
    }
    const std::int32_t excess = code & kLongEscape;
    if (excess == kLongEscape) {
      if (reader.escapes.size() < 2) return false;
      indices[i] = load<std::int16_t>(take(2), 0);
      continue;
    }
    const std::int32_t magnitude = static_cast<std::int32_t>(largest) + 1 + excess;
    indices[i] = static_cast<std::int16_t>((code & kEscapeSign) != 0 ? -magnitude : magnitude);
  }
  return true;
}

void RunDecoder::read_refinement(std::size_t stage, const RunPlan& plan, StreamReader& reader,
                                 std::span<std::int16_t> indices) {
  for (const Piece& piece : plan.silent) {
    for (std::int16_t& index : indices.subspan(piece.offset, piece.count)) {
      index = static_cast<std::int16_t>(std::clamp(3 * index, -kernels::kLargestIndex, kernels::kLargestIndex));
    }
  }
  for (const Run& run : plan.runs) {
    const std::span<const Piece> pieces = plan.pieces_of(run);
    std::span<std::int16_t> whole = indices.subspan(pieces[0].offset, pieces[0].count);
    if (pieces.size() != 1) {
      whole = grown(run_, run.symbols);
      std::int16_t* next = whole.data();
      for (const Piece& piece : pieces) next = std::copy_n(indices.data() + piece.offset, piece.count, next);
    }
    const std::span<std::uint8_t> symbols = grown(symbols_, whole.size());
    const std::span<std::uint8_t> contexts = grown(contexts_, whole.size());
    kernels_->context(whole, contexts);
    kernels_->rans_decode_context(reader.words, tables_->refinement[stage - 1][run.coefficient_class], contexts,
                                  symbols);
    kernels_->refine(symbols, whole);
    if (pieces.size() == 1) continue;
    const std::int16_t* next = whole.data();
    for (const Piece& piece : pieces) {
      std::copy_n(next, piece.count, indices.data() + piece.offset);
      next += piece.count;
    }
  }
}

}  // namespace sluice::codec
