#include "codec/lossless.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <numeric>

#include "codec/byte_order.h"
#include "codec/channel_groups.h"
#include "codec/mantissa_planes.h"
#include "codec/nested_layout.h"

namespace sluice::codec {
namespace {

// Stream header: mode u8, alphabet u8, groups u8, 0 u8, words u32, escapes u32.
constexpr std::size_t kStreamHeader = 12;
constexpr std::uint8_t kModeRaw = 0;
constexpr std::uint8_t kModeCoded = 1;

// Sections of a coded stream, from its start.
struct CodedLayout {
  std::size_t alphabet_at, frequencies_at, groups_at, states_at, words_at, escapes_at, mantissas_at, end;
};

struct CodedCounts {
  std::size_t alphabet = 0, groups = 0, words = 0, escapes = 0;
};

std::size_t lanes_of(const kernels::KvShape& shape) {
  return std::min<std::size_t>(kernels::kRansLanes, shape.tokens.count());
}

CodedLayout coded_layout(const kernels::KvShape& shape, const CodedCounts& counts) {
  CodedLayout at{};
  at.alphabet_at = kStreamHeader;
  at.frequencies_at = at.alphabet_at + 2 * counts.alphabet;
  at.groups_at = at.frequencies_at + 2 * counts.groups * (counts.alphabet + 1);
  at.states_at = at.groups_at + shape.row_values();
  at.words_at = at.states_at + 4 * lanes_of(shape);
  at.escapes_at = at.words_at + 2 * counts.words;
  at.mantissas_at = at.escapes_at + 2 * counts.escapes;
  at.end = at.mantissas_at + mantissa_size(shape.dtype, shape.row_values() * shape.tokens.count());
  return at;
}

std::size_t side_size(const kernels::KvShape& shape) { return shape.tokens.count() * shape.row_bytes().count(); }

// The most frequent tops, sorted; the rest escapes.
std::vector<std::uint16_t> choose_alphabet(std::span<const std::uint16_t> tops) {
  std::array<std::uint32_t, kMaxTops> counts{};
  for (const std::uint16_t top : tops) ++counts[top];
  std::vector<std::uint16_t> used;
  for (std::size_t top = 0; top < kMaxTops; ++top) {
    if (counts[top] != 0) used.push_back(static_cast<std::uint16_t>(top));
  }
  if (used.size() > kMaxAlphabet) {
    std::stable_sort(used.begin(), used.end(), [&](auto left, auto right) { return counts[left] > counts[right]; });
    used.resize(kMaxAlphabet);
    std::sort(used.begin(), used.end());
  }
  return used;
}

}  // namespace

std::size_t max_lossless_payload(const kernels::KvShape& shape) {
  return 2 * shape.layers.count() * (kStreamHeader + side_size(shape));
}

std::size_t LosslessCoder::write(const kernels::UnitView& unit, std::span<std::byte> payload) {
  const kernels::KvShape& shape = unit.shape;
  rows_.resize(side_size(shape));
  std::size_t at = 0;
  for (std::size_t stream = 0; stream < 2 * shape.layers.count(); ++stream) {
    const kernels::PlaneView& plane = (stream % 2 == 0 ? unit.k : unit.v)[stream / 2];
    kernels_->copy_rows(plane, shape, {0, shape.tokens.count()}, rows_);
    at += write_stream(shape, payload.subspan(at));
  }
  return at;
}

// Splits rows_ into symbols_ (channel-major) and escapes; returns the grouping, tables in tables_.
std::size_t LosslessCoder::write_stream(const kernels::KvShape& shape, std::span<std::byte> out) {
  const std::size_t width = shape.row_values();
  const std::size_t tokens = shape.tokens.count();
  tops_.resize(width * tokens);
  split_tops(shape.dtype, rows_, {.tokens = tokens, .width = width}, tops_);
  const std::vector<std::uint16_t> alphabet = choose_alphabet(tops_);
  std::array<std::uint8_t, kMaxTops> symbol_of;
  symbol_of.fill(static_cast<std::uint8_t>(alphabet.size()));
  for (std::size_t i = 0; i < alphabet.size(); ++i) symbol_of[alphabet[i]] = static_cast<std::uint8_t>(i);
  symbols_.resize(tops_.size());
  escapes_.clear();
  for (std::size_t i = 0; i < tops_.size(); ++i) {
    symbols_[i] = symbol_of[tops_[i]];
    if (symbols_[i] == alphabet.size()) escapes_.push_back(tops_[i]);
  }
  const ChannelGroups groups =
      group_channels(symbols_, {.width = width, .tokens = tokens, .symbols = alphabet.size() + 1});
  tables_.resize(groups.frequencies.size());
  for (std::size_t i = 0; i < tables_.size(); ++i) {
    SLUICE_ASSERT(make_rans_table(std::span(groups.frequencies[i]).first(alphabet.size() + 1), tables_[i]));
  }
  words_.resize(2 * symbols_.size());
  kernels::RansWriter writer = kernels::open_rans_writer(words_);
  for (std::size_t channel = width; channel-- > 0;) {
    kernels_->rans_encode(writer, tables_[groups.group_of[channel]],
                          std::span<const std::uint8_t>(symbols_).subspan(channel * tokens, tokens));
  }
  const std::size_t words_size = static_cast<std::size_t>(words_.data() + words_.size() - writer.cursor);
  const CodedCounts counts{alphabet.size(), tables_.size(), words_size / 2, escapes_.size()};
  const CodedLayout at = coded_layout(shape, counts);
  if (at.end > kStreamHeader + rows_.size()) {
    std::memset(out.data(), 0, kStreamHeader);
    std::memcpy(out.data() + kStreamHeader, rows_.data(), rows_.size());
    return kStreamHeader + rows_.size();
  }
  store(out, 0, kModeCoded);
  store(out, 1, static_cast<std::uint8_t>(counts.alphabet));
  store(out, 2, static_cast<std::uint8_t>(counts.groups));
  store(out, 3, std::uint8_t{0});
  store(out, 4, static_cast<std::uint32_t>(counts.words));
  store(out, 8, static_cast<std::uint32_t>(counts.escapes));
  std::memcpy(out.data() + at.alphabet_at, alphabet.data(), 2 * alphabet.size());
  for (std::size_t i = 0; i < tables_.size(); ++i) {
    std::memcpy(out.data() + at.frequencies_at + 2 * i * (alphabet.size() + 1), groups.frequencies[i].data(),
                2 * (alphabet.size() + 1));
  }
  std::memcpy(out.data() + at.groups_at, groups.group_of.data(), width);
  std::memcpy(out.data() + at.states_at, writer.states.data(), 4 * lanes_of(shape));
  std::memcpy(out.data() + at.words_at, writer.cursor, words_size);
  if (!escapes_.empty()) std::memcpy(out.data() + at.escapes_at, escapes_.data(), 2 * escapes_.size());
  pack_mantissas(shape.dtype, rows_, out.subspan(at.mantissas_at, at.end - at.mantissas_at));
  return at.end;
}

Result<void> LosslessCoder::read(std::span<const std::byte> payload, const kernels::MutableUnitView& out) {
  const kernels::KvShape& shape = out.shape;
  const std::size_t side = side_size(shape);
  const std::size_t streams = 2 * shape.layers.count();
  rows_.resize(streams * side);
  for (std::size_t stream = 0; stream < streams; ++stream) {
    SLUICE_ASSIGN(const std::size_t used,
                  read_stream(shape, payload, std::span<std::byte>(rows_).subspan(stream * side, side)));
    payload = payload.subspan(used);
  }
  if (!payload.empty()) return Error{ErrorCode::kBadLength, 0, "lossless payload"};
  for (std::size_t stream = 0; stream < streams; ++stream) {
    const kernels::MutablePlaneView& plane = (stream % 2 == 0 ? out.k : out.v)[stream / 2];
    kernels_->place_rows(std::span<const std::byte>(rows_).subspan(stream * side, side), shape,
                         {0, shape.tokens.count()}, plane);
  }
  return {};
}

Result<std::size_t> LosslessCoder::read_stream(const kernels::KvShape& shape, std::span<const std::byte> in,
                                               std::span<std::byte> rows) {
  const Error bad_length{ErrorCode::kBadLength, 0, "lossless stream"};
  if (in.size() < kStreamHeader) return bad_length;
  const std::uint8_t mode = load<std::uint8_t>(in, 0);
  if (mode == kModeRaw) {
    if (in.size() - kStreamHeader < rows.size()) return bad_length;
    std::memcpy(rows.data(), in.data() + kStreamHeader, rows.size());
    return kStreamHeader + rows.size();
  }
  if (mode != kModeCoded) return Error{ErrorCode::kCorruptStream, 0, "lossless mode"};
  const std::size_t values = shape.row_values() * shape.tokens.count();
  const CodedCounts counts{load<std::uint8_t>(in, 1), load<std::uint8_t>(in, 2), load<std::uint32_t>(in, 4),
                           load<std::uint32_t>(in, 8)};
  if (counts.alphabet > kMaxAlphabet || counts.groups == 0 || counts.groups > kMaxGroups) {
    return Error{ErrorCode::kCorruptStream, 0, "lossless tables"};
  }
  if (counts.words > max_words(values) || counts.escapes > values) return bad_length;
  const CodedLayout at = coded_layout(shape, counts);
  if (in.size() < at.end) return bad_length;
  SLUICE_TRY(read_tables(in.subspan(at.frequencies_at), counts.groups, counts.alphabet + 1));
  SLUICE_TRY(read_symbols(shape, {.groups = in.subspan(at.groups_at, shape.row_values()),
                                  .states = in.subspan(at.states_at, 4 * lanes_of(shape)),
                                  .words = in.subspan(at.words_at, 2 * counts.words)}));
  SLUICE_TRY(read_tops(in.subspan(at.alphabet_at, 2 * counts.alphabet), in.subspan(at.escapes_at, 2 * counts.escapes)));
  join_rows(shape.dtype, tops_, {.tokens = shape.tokens.count(), .width = shape.row_values()},
            in.subspan(at.mantissas_at, at.end - at.mantissas_at), rows);
  return at.end;
}

Result<void> LosslessCoder::read_tables(std::span<const std::byte> in, std::size_t groups, std::size_t symbols) {
  std::array<std::uint16_t, kernels::kRansMaxSymbols> frequencies;
  tables_.resize(groups);
  for (std::size_t group = 0; group < groups; ++group) {
    for (std::size_t i = 0; i < symbols; ++i) frequencies[i] = load<std::uint16_t>(in, 2 * (group * symbols + i));
    if (!make_rans_table(std::span(frequencies).first(symbols), tables_[group])) {
      return Error{ErrorCode::kCorruptStream, 0, "lossless frequencies"};
    }
  }
  return {};
}

Result<void> LosslessCoder::read_symbols(const kernels::KvShape& shape, const CodedInput& input) {
  const std::size_t tokens = shape.tokens.count();
  symbols_.resize(shape.row_values() * tokens);
  kernels::RansReader reader;
  reader.states.fill(kernels::kRansStart);
  std::memcpy(reader.states.data(), input.states.data(), input.states.size());
  reader.cursor = input.words.data();
  reader.end = reader.cursor + input.words.size();
  for (std::size_t channel = 0; channel < shape.row_values(); ++channel) {
    const std::size_t group = load<std::uint8_t>(input.groups, channel);
    if (group >= tables_.size()) return Error{ErrorCode::kCorruptStream, 0, "lossless group"};
    kernels_->rans_decode(reader, tables_[group], std::span(symbols_).subspan(channel * tokens, tokens));
  }
  if (!kernels::is_finished(reader)) return Error{ErrorCode::kCorruptStream, 0, "lossless stream end"};
  return {};
}

Result<void> LosslessCoder::read_tops(std::span<const std::byte> alphabet, std::span<const std::byte> escapes) {
  const std::size_t escape = alphabet.size() / 2;
  std::array<std::uint16_t, kernels::kRansMaxSymbols> top_of{};
  for (std::size_t i = 0; i < escape; ++i) {
    top_of[i] = load<std::uint16_t>(alphabet, 2 * i);
    if (top_of[i] >= kMaxTops) return Error{ErrorCode::kCorruptStream, 0, "lossless alphabet"};
  }
  tops_.resize(symbols_.size());
  std::size_t next = 0;
  for (std::size_t i = 0; i < symbols_.size(); ++i) {
    tops_[i] = top_of[symbols_[i]];
    if (symbols_[i] != escape) continue;
    if (next == escapes.size()) return Error{ErrorCode::kCorruptStream, 0, "lossless escapes"};
    tops_[i] = load<std::uint16_t>(escapes, next);
    next += 2;
  }
  if (next != escapes.size()) return Error{ErrorCode::kCorruptStream, 0, "lossless escapes"};
  return {};
}

}  // namespace sluice::codec
