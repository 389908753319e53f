#include "codec/run_decoder.h"

#include <algorithm>

#include "base/assert.h"
#include "codec/byte_order.h"
#include "codec/coefficient_class.h"

namespace sluice::codec {
namespace {

template <typename T>
std::span<T> grown(std::vector<T>& scratch, std::size_t size) {
  if (scratch.size() < size) scratch.resize(size);
  return std::span(scratch).first(size);
}

// The indices of a run: in place where it is one piece, else in `run`, in the run's order.
std::span<std::int16_t> indices_of(const RunPlan& plan, const Run& run, std::span<std::int16_t> indices,
                                   std::vector<std::int16_t>& scratch) {
  const std::span<const Piece> pieces = plan.pieces_of(run);
  if (pieces.size() == 1) return indices.subspan(pieces[0].offset, pieces[0].count);
  return grown(scratch, run.symbols);
}

void collect(const RunPlan& plan, const Run& run, std::span<const std::int16_t> indices,
             std::span<std::int16_t> whole) {
  const std::span<const Piece> pieces = plan.pieces_of(run);
  if (pieces.size() == 1) return;
  std::int16_t* next = whole.data();
  for (const Piece& piece : pieces) next = std::copy_n(indices.data() + piece.offset, piece.count, next);
}

void spread(const RunPlan& plan, const Run& run, std::span<const std::int16_t> whole, std::span<std::int16_t> indices) {
  const std::span<const Piece> pieces = plan.pieces_of(run);
  if (pieces.size() == 1) return;
  const std::int16_t* next = whole.data();
  for (const Piece& piece : pieces) {
    std::copy_n(next, piece.count, indices.data() + piece.offset);
    next += piece.count;
  }
}

}  // namespace

void RunDecoder::decode(std::span<StreamRuns> streams) const {
  std::array<kernels::RansDecodeStream, kStreamsAtOnce> side_by_side;
  for (std::size_t i = 0; i < streams.size(); ++i) {
    side_by_side[i] = {.reader = &streams[i].reader.words, .runs = scratch_[i].runs};
  }
  kernels_->rans_decode_streams(std::span(side_by_side).first(streams.size()));
}

bool RunDecoder::read_base(std::span<StreamRuns> streams) {
  SLUICE_ASSERT(streams.size() <= kStreamsAtOnce);
  for (std::size_t i = 0; i < streams.size(); ++i) plan_base(streams[i].plan, scratch_[i]);
  decode(streams);
  for (std::size_t i = 0; i < streams.size(); ++i) {
    if (!unfold_base(streams[i], scratch_[i])) return false;
  }
  return true;
}

void RunDecoder::plan_base(const RunPlan& plan, Scratch& scratch) const {
  std::size_t symbols = 0;
  for (const Run& run : plan.runs) symbols += run.symbols * (class_code(run.coefficient_class).low_bits == 0 ? 1 : 2);
  std::span<std::uint8_t> rest = grown(scratch.symbols, symbols);
  scratch.runs.clear();
  const auto add = [&](const kernels::RansTable& table, std::size_t count) {
    scratch.runs.push_back({.table = &table, .symbols = rest.first(count)});
    rest = rest.subspan(count);
  };
  for (const Run& run : plan.runs) {
    const ClassCode code = class_code(run.coefficient_class);
    add(tables_->base[code.table], run.symbols);
    if (code.low_bits != 0) add(tables_->uniform[code.low_bits], run.symbols);
  }
}

bool RunDecoder::unfold_base(StreamRuns& stream, Scratch& scratch) const {
  std::span<const std::uint8_t> rest = scratch.symbols;
  const auto next = [&rest](std::size_t count) {
    const std::span<const std::uint8_t> symbols = rest.first(count);
    rest = rest.subspan(count);
    return symbols;
  };
  for (const Run& run : stream.plan.runs) {
    const ClassCode code = class_code(run.coefficient_class);
    const std::uint32_t largest = tables_->largest[code.table];
    const std::span<std::int16_t> whole = indices_of(stream.plan, run, stream.indices, scratch.run);
    const std::span<const std::uint8_t> symbols = next(run.symbols);
    if (kernels_->unfold(symbols, largest, whole) != 0 && !fill_escapes(largest, symbols, stream.reader, whole)) {
      return false;
    }
    if (code.low_bits != 0) {
      const std::span<const std::uint8_t> low = next(run.symbols);
      const std::int32_t half = 1 << code.low_bits >> 1;
      for (std::size_t i = 0; i < whole.size(); ++i) {
        const std::int32_t index = whole[i] * 2 * half + low[i] - half;
        whole[i] = static_cast<std::int16_t>(std::clamp(index, -kernels::kLargestIndex, kernels::kLargestIndex));
      }
    }
    spread(stream.plan, run, whole, stream.indices);
  }
  return true;
}

bool RunDecoder::fill_escapes(std::uint32_t largest, std::span<const std::uint8_t> symbols, StreamReader& reader,
                              std::span<std::int16_t> indices) const {
  const auto take = [&reader](std::size_t size) {
    const std::span<const std::byte> taken = reader.escapes.first(size);
    reader.escapes = reader.escapes.subspan(size);
    return taken;
  };
  const auto escape = static_cast<std::uint8_t>(2 * largest + 1);
  for (std::size_t i = find_symbol(symbols, escape, 0); i < symbols.size(); i = find_symbol(symbols, escape, i + 1)) {
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

void RunDecoder::read_refinement(std::size_t stage, std::span<StreamRuns> streams) {
  SLUICE_ASSERT(streams.size() <= kStreamsAtOnce);
  for (std::size_t i = 0; i < streams.size(); ++i) plan_refinement(stage, streams[i], scratch_[i]);
  decode(streams);
  for (std::size_t i = 0; i < streams.size(); ++i) refine(streams[i], scratch_[i]);
}

void RunDecoder::plan_refinement(std::size_t stage, StreamRuns& stream, Scratch& scratch) const {
  std::size_t symbols = 0;
  for (const Run& run : stream.plan.runs) symbols += run.symbols;
  std::span<std::uint8_t> rest = grown(scratch.symbols, symbols);
  std::span<std::uint8_t> rest_of_contexts = grown(scratch.contexts, symbols);
  scratch.runs.clear();
  for (const Run& run : stream.plan.runs) {
    const std::span<std::int16_t> whole = indices_of(stream.plan, run, stream.indices, scratch.run);
    collect(stream.plan, run, stream.indices, whole);
    const std::span<std::uint8_t> contexts = rest_of_contexts.first(run.symbols);
    kernels_->context(whole, contexts);
    scratch.runs.push_back({.by_context = &tables_->refinement[stage - 1][run.coefficient_class],
                            .contexts = contexts.data(),
                            .symbols = rest.first(run.symbols)});
    rest = rest.subspan(run.symbols);
    rest_of_contexts = rest_of_contexts.subspan(run.symbols);
  }
}

void RunDecoder::refine(StreamRuns& stream, Scratch& scratch) const {
  for (const Piece& piece : stream.plan.silent) {
    for (std::int16_t& index : stream.indices.subspan(piece.offset, piece.count)) {
      index = static_cast<std::int16_t>(std::clamp(3 * index, -kernels::kLargestIndex, kernels::kLargestIndex));
    }
  }
  std::span<const std::uint8_t> rest = scratch.symbols;
  for (const Run& run : stream.plan.runs) {
    const std::span<std::int16_t> whole = indices_of(stream.plan, run, stream.indices, scratch.run);
    collect(stream.plan, run, stream.indices, whole);
    kernels_->refine(rest.first(run.symbols), whole);
    spread(stream.plan, run, whole, stream.indices);
    rest = rest.subspan(run.symbols);
  }
}

}  // namespace sluice::codec
