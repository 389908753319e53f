#include "codec/lossless.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "codec/byte_order.h"
#include "codec/mantissa_planes.h"
#include "codec/nested_layout.h"

namespace sluice::codec {
namespace {

// Payload header: mode u8, groups u8, 0 u16, bytes of the tables u32.
constexpr std::size_t kHeader = 8;
constexpr std::uint8_t kModeRaw = 0;
constexpr std::uint8_t kModeCoded = 1;
constexpr std::size_t kDirectoryEntry = 8;  // words u32, escapes u32

// Sections of a coded payload whose place follows from its header; words, escapes and mantissas come after.
struct CodedLayout {
  std::size_t tables_at, groups_at, directory_at, states_at, words_at;
};

std::size_t streams_of(const kernels::KvShape& shape) { return 2 * shape.layers.count(); }

std::size_t lanes_of(const kernels::KvShape& shape) {
  return std::min<std::size_t>(kernels::kRansLanes, shape.tokens.count());
}

// Rows of one stream.
std::size_t side_size(const kernels::KvShape& shape) { return shape.tokens.count() * shape.row_bytes().count(); }

std::size_t values_of(const kernels::KvShape& shape) { return shape.tokens.count() * shape.row_values(); }

unsigned top_bits(kernels::DType dtype) {
  return static_cast<unsigned>(8 * kernels::dtype_size(dtype)) - mantissa_bits(dtype);
}

// Bits of a channel's group number.
unsigned group_bits(std::size_t groups) { return static_cast<unsigned>(std::bit_width(groups - 1)); }

std::size_t groups_size(std::size_t groups, std::size_t channels) { return (group_bits(groups) * channels + 7) / 8; }

CodedLayout coded_layout(const kernels::KvShape& shape, std::size_t groups, std::size_t tables_size) {
  CodedLayout at{};
  at.tables_at = kHeader;
  at.groups_at = at.tables_at + tables_size;
  at.directory_at = padded(at.groups_at + groups_size(groups, streams_of(shape) * shape.row_values()), 4);
  at.states_at = at.directory_at + kDirectoryEntry * streams_of(shape);
  at.words_at = at.states_at + 4 * lanes_of(shape) * streams_of(shape);
  return at;
}

const kernels::PlaneView& plane_of(const kernels::UnitView& unit, std::size_t stream) {
  return (stream % 2 == 0 ? unit.k : unit.v)[stream / 2];
}

void pack_groups(std::span<const std::uint8_t> groups, unsigned bits, std::span<std::byte> out) {
  std::uint32_t packed = 0;
  unsigned filled = 0;
  std::size_t at = 0;
  for (const std::uint8_t group : groups) {
    packed |= std::uint32_t{group} << filled;
    for (filled += bits; filled >= 8; filled -= 8, packed >>= 8U) out[at++] = static_cast<std::byte>(packed);
  }
  if (filled != 0) out[at] = static_cast<std::byte>(packed);
}

}  // namespace

std::size_t max_lossless_payload(const kernels::KvShape& shape) {
  return kHeader + streams_of(shape) * side_size(shape);
}

std::size_t LosslessCoder::write(const kernels::UnitView& unit, std::span<std::byte> payload) {
  const kernels::KvShape& shape = unit.shape;
  load_rows(unit);
  make_tables(shape.dtype);
  const std::size_t streams = streams_of(shape);
  symbols_.resize(values_of(shape));
  words_.resize(2 * streams * values_of(shape));
  sizes_.resize(streams);
  ends_.resize(streams);
  escapes_.clear();
  for (std::size_t stream = 0; stream < streams; ++stream) code_stream(shape, stream);
  if (const std::size_t size = write_coded(shape, payload); size != 0) return size;
  std::memset(payload.data(), 0, kHeader);
  store(payload, 0, kModeRaw);
  std::memcpy(payload.data() + kHeader, rows_.data(), rows_.size());
  return kHeader + rows_.size();
}

void LosslessCoder::load_rows(const kernels::UnitView& unit) {
  const kernels::KvShape& shape = unit.shape;
  const std::size_t side = side_size(shape);
  const std::size_t values = values_of(shape);
  const StreamExtent extent{.tokens = shape.tokens.count(), .width = shape.row_values()};
  rows_.resize(streams_of(shape) * side);
  tops_.resize(streams_of(shape) * values);
  grouping_.start(top_bits(shape.dtype));
  for (std::size_t stream = 0; stream < streams_of(shape); ++stream) {
    const std::span<std::byte> rows = std::span(rows_).subspan(stream * side, side);
    const std::span<std::uint16_t> tops = std::span(tops_).subspan(stream * values, values);
    kernels_->copy_rows(plane_of(unit, stream), shape, {0, extent.tokens}, rows);
    split_tops(shape.dtype, rows, extent, tops);
    grouping_.add(tops, extent.tokens);
  }
}

void LosslessCoder::make_tables(kernels::DType dtype) {
  grouping_.fit();
  const std::size_t tops = std::size_t{1} << top_bits(dtype);
  codes_.resize(grouping_.tables().size());
  symbol_of_.resize(codes_.size() * tops);
  for (std::size_t group = 0; group < codes_.size(); ++group) {
    TopTable& table = codes_[group].tops;
    table = grouping_.tables()[group];
    SLUICE_ASSERT(make_rans_table(std::span(table.frequencies).first(table.count + 1), codes_[group].rans));
    const std::span<std::uint8_t> symbol_of = std::span(symbol_of_).subspan(group * tops, tops);
    std::fill(symbol_of.begin(), symbol_of.end(), static_cast<std::uint8_t>(table.count));
    for (std::size_t i = 0; i < table.count; ++i) symbol_of[table.tops[i]] = static_cast<std::uint8_t>(i);
  }
}

void LosslessCoder::code_stream(const kernels::KvShape& shape, std::size_t stream) {
  const std::size_t width = shape.row_values();
  const std::size_t tokens = shape.tokens.count();
  const std::size_t values = width * tokens;
  const std::span<const std::uint8_t> groups = grouping_.groups().subspan(stream * width, width);
  const std::size_t escapes_before = escapes_.size();
  const std::uint16_t* top = tops_.data() + stream * values;
  std::uint8_t* symbol = symbols_.data();
  for (const std::uint8_t group : groups) {
    const std::uint8_t* const symbol_of = symbol_of_.data() + (std::size_t{group} << top_bits(shape.dtype));
    const std::size_t escape = codes_[group].tops.count;
    for (std::size_t token = 0; token < tokens; ++token, ++top, ++symbol) {
      *symbol = symbol_of[*top];
      if (*symbol == escape) escapes_.push_back(*top);
    }
  }
  kernels::RansWriter& writer = ends_[stream];
  const std::span<std::byte> room = std::span(words_).subspan(2 * stream * values, 2 * values);
  writer = kernels::open_rans_writer(room);
  for (std::size_t channel = width; channel-- > 0;) {
    kernels_->rans_encode(writer, codes_[groups[channel]].rans,
                          std::span<const std::uint8_t>(symbols_).subspan(channel * tokens, tokens));
  }
  const auto size = static_cast<std::size_t>(room.data() + room.size() - writer.cursor);
  sizes_[stream] = {.words = size / 2, .escapes = escapes_.size() - escapes_before};
}

// Returns 0, and writes nothing, where the coded form is not smaller than the rows.
std::size_t LosslessCoder::write_coded(const kernels::KvShape& shape, std::span<std::byte> payload) const {
  std::array<std::byte, kMaxGroups * kMaxTopTableSize> tables;
  std::size_t tables_size = 0;
  for (const GroupCode& code : codes_) {
    tables_size += write_top_table(code.tops, std::span(tables).subspan(tables_size));
  }
  const CodedLayout at = coded_layout(shape, codes_.size(), tables_size);
  const std::size_t mantissas = mantissa_size(shape.dtype, values_of(shape));
  std::size_t end = at.words_at + 2 * escapes_.size() + mantissas * sizes_.size();
  for (const StreamSize& size : sizes_) end += 2 * size.words;
  if (end >= kHeader + rows_.size()) return 0;
  std::memset(payload.data(), 0, at.directory_at);  // padding is zero
  store(payload, 0, kModeCoded);
  store(payload, 1, static_cast<std::uint8_t>(codes_.size()));
  store(payload, 4, static_cast<std::uint32_t>(tables_size));
  std::memcpy(payload.data() + at.tables_at, tables.data(), tables_size);
  pack_groups(grouping_.groups(), group_bits(codes_.size()), payload.subspan(at.groups_at));
  const std::size_t lanes_size = 4 * lanes_of(shape);
  std::byte* words = payload.data() + at.words_at;
  for (std::size_t stream = 0; stream < sizes_.size(); ++stream) {
    const std::size_t entry = at.directory_at + kDirectoryEntry * stream;
    store(payload, entry, static_cast<std::uint32_t>(sizes_[stream].words));
    store(payload, entry + 4, static_cast<std::uint32_t>(sizes_[stream].escapes));
    std::memcpy(payload.data() + at.states_at + lanes_size * stream, ends_[stream].states.data(), lanes_size);
    std::memcpy(words, ends_[stream].cursor, 2 * sizes_[stream].words);
    words += 2 * sizes_[stream].words;
  }
  if (!escapes_.empty()) std::memcpy(words, escapes_.data(), 2 * escapes_.size());
  words += 2 * escapes_.size();
  for (std::size_t stream = 0; stream < sizes_.size(); ++stream, words += mantissas) {
    pack_mantissas(shape.dtype, std::span(rows_).subspan(stream * side_size(shape), side_size(shape)),
                   {words, mantissas});
  }
  return end;
}

Result<void> LosslessCoder::read(std::span<const std::byte> payload, const kernels::MutableUnitView& out) {
  const kernels::KvShape& shape = out.shape;
  const std::size_t side = side_size(shape);
  const Error bad_length{ErrorCode::kBadLength, 0, "lossless payload"};
  if (payload.size() < kHeader) return bad_length;
  const std::uint8_t mode = load<std::uint8_t>(payload, 0);
  rows_.resize(streams_of(shape) * side);
  if (mode == kModeCoded) {
    SLUICE_TRY(read_coded(shape, payload));
  } else if (mode == kModeRaw) {
    if (payload.size() != kHeader + rows_.size()) return bad_length;
    std::memcpy(rows_.data(), payload.data() + kHeader, rows_.size());
  } else {
    return Error{ErrorCode::kCorruptStream, 0, "lossless mode"};
  }
  for (std::size_t stream = 0; stream < streams_of(shape); ++stream) {
    const kernels::MutablePlaneView& plane = (stream % 2 == 0 ? out.k : out.v)[stream / 2];
    kernels_->place_rows(std::span<const std::byte>(rows_).subspan(stream * side, side), shape,
                         {0, shape.tokens.count()}, plane);
  }
  return {};
}

Result<void> LosslessCoder::read_coded(const kernels::KvShape& shape, std::span<const std::byte> payload) {
  const Error bad_length{ErrorCode::kBadLength, 0, "lossless payload"};
  const std::size_t groups = load<std::uint8_t>(payload, 1);
  const std::size_t tables_size = load<std::uint32_t>(payload, 4);
  if (groups == 0 || groups > kMaxGroups) return Error{ErrorCode::kCorruptStream, 0, "lossless groups"};
  const CodedLayout at = coded_layout(shape, groups, tables_size);
  if (payload.size() < at.words_at) return bad_length;
  SLUICE_TRY(read_tables(payload.subspan(at.tables_at, tables_size), groups));
  SLUICE_TRY(read_groups(payload.subspan(at.groups_at), streams_of(shape) * shape.row_values()));
  const std::size_t values = values_of(shape);
  const std::size_t mantissas = mantissa_size(shape.dtype, values);
  std::size_t escapes_at = at.words_at;
  std::size_t mantissas_at = at.words_at;
  sizes_.resize(streams_of(shape));
  for (std::size_t stream = 0; stream < sizes_.size(); ++stream) {
    const std::size_t entry = at.directory_at + kDirectoryEntry * stream;
    sizes_[stream] = {load<std::uint32_t>(payload, entry), load<std::uint32_t>(payload, entry + 4)};
    if (sizes_[stream].words > max_words(values) || sizes_[stream].escapes > values) return bad_length;
    escapes_at += 2 * sizes_[stream].words;
    mantissas_at += 2 * (sizes_[stream].words + sizes_[stream].escapes);
  }
  if (payload.size() != mantissas_at + mantissas * sizes_.size()) return bad_length;
  const std::size_t lanes_size = 4 * lanes_of(shape);
  std::size_t words_at = at.words_at;
  for (std::size_t stream = 0; stream < sizes_.size(); ++stream) {
    SLUICE_TRY(read_stream(shape, {.number = stream,
                                   .states = payload.subspan(at.states_at + lanes_size * stream, lanes_size),
                                   .words = payload.subspan(words_at, 2 * sizes_[stream].words),
                                   .escapes = payload.subspan(escapes_at, 2 * sizes_[stream].escapes),
                                   .mantissas = payload.subspan(mantissas_at, mantissas)}));
    words_at += 2 * sizes_[stream].words;
    escapes_at += 2 * sizes_[stream].escapes;
    mantissas_at += mantissas;
  }
  return {};
}

Result<void> LosslessCoder::read_tables(std::span<const std::byte> in, std::size_t groups) {
  codes_.resize(groups);
  for (GroupCode& code : codes_) {
    SLUICE_ASSIGN(const std::size_t used, parse_top_table(in, code.tops));
    if (!make_rans_table(std::span(code.tops.frequencies).first(code.tops.count + 1), code.rans)) {
      return Error{ErrorCode::kCorruptStream, 0, "lossless frequencies"};
    }
    in = in.subspan(used);
  }
  if (!in.empty()) return Error{ErrorCode::kBadLength, 0, "lossless tables"};
  return {};
}

Result<void> LosslessCoder::read_groups(std::span<const std::byte> in, std::size_t channels) {
  const unsigned bits = group_bits(codes_.size());
  group_of_.resize(channels);
  std::uint32_t packed = 0;
  unsigned filled = 0;
  std::size_t at = 0;
  for (std::uint8_t& group : group_of_) {
    if (filled < bits) {
      packed |= std::to_integer<std::uint32_t>(in[at++]) << filled;
      filled += 8;
    }
    group = static_cast<std::uint8_t>(packed & ((1U << bits) - 1U));
    packed >>= bits;
    filled -= bits;
    if (group >= codes_.size()) return Error{ErrorCode::kCorruptStream, 0, "lossless group"};
  }
  return {};
}

Result<void> LosslessCoder::read_stream(const kernels::KvShape& shape, const CodedStream& in) {
  const std::size_t tokens = shape.tokens.count();
  const std::size_t width = shape.row_values();
  symbols_.resize(values_of(shape));
  kernels::RansReader reader;
  reader.states.fill(kernels::kRansStart);
  std::memcpy(reader.states.data(), in.states.data(), in.states.size());
  reader.cursor = in.words.data();
  reader.end = reader.cursor + in.words.size();
  const std::span<const std::uint8_t> groups = std::span(group_of_).subspan(in.number * width, width);
  for (std::size_t channel = 0; channel < width; ++channel) {
    kernels_->rans_decode(reader, codes_[groups[channel]].rans, std::span(symbols_).subspan(channel * tokens, tokens));
  }
  if (!kernels::is_finished(reader)) return Error{ErrorCode::kCorruptStream, 0, "lossless stream end"};
  SLUICE_TRY(read_tops(in, tokens));
  const std::size_t side = side_size(shape);
  join_rows(shape.dtype, {.tops = tops_, .mantissas = in.mantissas}, {.tokens = tokens, .width = width},
            std::span(rows_).subspan(in.number * side, side));
  return {};
}

Result<void> LosslessCoder::read_tops(const CodedStream& in, std::size_t tokens) {
  const Error damage{ErrorCode::kCorruptStream, 0, "lossless escapes"};
  tops_.resize(symbols_.size());
  const std::size_t width = symbols_.size() / tokens;
  std::size_t next = 0;
  for (std::size_t channel = 0; channel < width; ++channel) {
    const TopTable& table = codes_[group_of_[in.number * width + channel]].tops;
    for (std::size_t i = channel * tokens; i < (channel + 1) * tokens; ++i) {
      if (symbols_[i] != table.count) {
        tops_[i] = table.tops[symbols_[i]];
        continue;
      }
      if (next == in.escapes.size()) return damage;
      tops_[i] = load<std::uint16_t>(in.escapes, next);
      next += 2;
    }
  }
  if (next != in.escapes.size()) return damage;
  return {};
}

}  // namespace sluice::codec
