#include "integration/decision_record.h"

#include <algorithm>
#include <array>
#include <optional>
#include <type_traits>

#include "codec/byte_order.h"

namespace sluice::integration {
namespace {

using scheduler::Accepted;
using scheduler::Action;
using scheduler::ChunkComputed;
using scheduler::Complete;
using scheduler::ComputeChunk;
using scheduler::DeadlineKind;
using scheduler::DecodeSample;
using scheduler::Grant;
using scheduler::Inputs;
using scheduler::kAllParts;
using scheduler::Mode;
using scheduler::Offered;
using scheduler::PartArrived;
using scheduler::PartFailed;
using scheduler::PartTable;
using scheduler::PolicyOptions;
using scheduler::PrefillCost;
using scheduler::Promise;
using scheduler::QualityCurve;
using scheduler::Reason;
using scheduler::Recompute;
using scheduler::RequestClosed;
using scheduler::RttSample;
using scheduler::Sealed;
using scheduler::Tick;

/// Counts and times beyond these are no measurement; sums of a few of them stay inside 64 bits.
constexpr std::uint64_t kMostCount = std::uint64_t{1} << 60;
constexpr std::int64_t kMostTime = std::int64_t{1} << 56;
constexpr std::uint32_t kMostActions = 1 << 18;
constexpr std::size_t kLongestText = 255;

template <typename Value>
constexpr bool kIsNumber = std::is_integral_v<Value> || std::is_enum_v<Value>;

/// Fields as little-endian numbers, in the order in which they are named.
class Writer {
 public:
  explicit Writer(std::vector<std::byte>& out) : out_(out) {}

  template <typename Value>
  void field(const char*, Value& value) {
    if constexpr (kIsNumber<Value>) {
      out_.resize(out_.size() + sizeof(Value));
      codec::store(std::span(out_), out_.size() - sizeof(Value), value);
    } else {
      put(value);
    }
  }
  void text(const char*, std::string& value) {
    auto length = static_cast<std::uint8_t>(std::min(value.size(), kLongestText));
    field("", length);
    for (std::size_t i = 0; i < length; ++i) out_.push_back(static_cast<std::byte>(value[i]));
  }
  template <typename Value>
  void optional(const char*, std::optional<Value>& value);
  template <typename Values>
  void choice(Values& value);

 private:
  void put(Duration& value) {
    std::int64_t count = value.count();
    field("", count);
  }
  void put(Instant& value) {
    Duration count = value.since_start();
    put(count);
  }
  template <typename Tag>
  void put(Quantity<Tag>& value) {
    std::uint64_t count = value.count();
    field("", count);
  }
  template <typename Tag, typename Rep>
  void put(Identity<Tag, Rep>& value) {
    Rep number = value.value();
    field("", number);
  }

  std::vector<std::byte>& out_;
};

/// The same in the other direction. After the first error nothing more is read.
class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  /// What a policy is told is held within bounds; what it answered may be any number.
  void set_bounded(bool is_bounded) { is_bounded_ = is_bounded; }
  Error error() const { return error_; }
  bool is_good() const { return error_.code == ErrorCode::kOk; }
  void fail(ErrorCode code, const char* name) {
    if (is_good()) error_ = Error{code, 0, name};
  }
  bool is_at_end() const { return at_ == bytes_.size(); }

  template <typename Value>
  void field(const char* name, Value& value) {
    if constexpr (kIsNumber<Value>) {
      read(name, value);
    } else {
      take(name, value);
    }
  }
  void text(const char* name, std::string& value) {
    std::uint8_t length = 0;
    field(name, length);
    if (!is_good()) return;
    if (bytes_.size() - at_ < length) return fail(ErrorCode::kTruncated, name);
    for (std::size_t i = 0; i < length; ++i) value.push_back(static_cast<char>(bytes_[at_ + i]));
    at_ += length;
  }
  template <typename Value>
  void optional(const char* name, std::optional<Value>& value);
  template <typename Values>
  void choice(Values& value);

 private:
  template <typename Value>
  void read(const char* name, Value& value) {
    if (!is_good()) return;
    using Stored = std::conditional_t<std::is_same_v<Value, bool>, std::uint8_t, Value>;
    if (bytes_.size() - at_ < sizeof(Value)) return fail(ErrorCode::kTruncated, name);
    const Stored stored = codec::load<Stored>(bytes_, at_);
    at_ += sizeof(Value);
    if (!is_valid(stored)) return fail(ErrorCode::kBadField, name);
    if constexpr (std::is_same_v<Value, bool>) {
      if (stored > 1) return fail(ErrorCode::kBadField, name);
      value = stored == 1;
    } else {
      value = stored;
    }
  }
  template <typename Value>
  static bool is_valid(Value) {
    return true;
  }
  static bool is_valid(Mode mode) { return mode <= Mode::kReuse; }
  static bool is_valid(DeadlineKind kind) { return kind <= DeadlineKind::kSoft; }
  static bool is_valid(Part part) { return scheduler::part_place(part) < kAllParts.size(); }
  static bool is_valid(Reason reason) { return reason == Reason::kNone || scheduler::reason_name(reason) != "unknown"; }

  void take(const char* name, Duration& value) {
    std::int64_t count = 0;
    read(name, count);
    const bool is_sane = (count >= -kMostTime && count <= kMostTime) || count == Duration::max().count();
    if (is_bounded_ && !is_sane) return fail(ErrorCode::kBadField, name);
    value = Duration(count);
  }
  void take(const char* name, Instant& value) {
    Duration count{0};
    take(name, count);
    value = Instant(count);
  }
  template <typename Tag>
  void take(const char* name, Quantity<Tag>& value) {
    std::uint64_t count = 0;
    read(name, count);
    if (is_bounded_ && count > kMostCount) return fail(ErrorCode::kBadField, name);
    value = Quantity<Tag>(count);
  }
  template <typename Tag, typename Rep>
  void take(const char* name, Identity<Tag, Rep>& value) {
    Rep number{};
    read(name, number);
    value = Identity<Tag, Rep>(number);
  }

  std::span<const std::byte> bytes_;
  std::size_t at_ = 0;
  bool is_bounded_ = true;
  Error error_;
};

/// Fields as "name value", for people.
class Printer {
 public:
  template <typename Value>
  void field(const char* name, Value& value) {
    line_ += std::string(" ") + name + " ";
    if constexpr (kIsNumber<Value>) {
      line_ += std::to_string(static_cast<std::uint64_t>(value));
    } else {
      put(value);
    }
  }
  template <typename Value>
  void optional(const char*, std::optional<Value>& value);
  void name(const char* event) { line_ = event; }
  const std::string& line() const { return line_; }

 private:
  void put(Duration& value) {
    line_ += value == Duration::max() ? std::string("never") : std::to_string(value.count() / 1000) + " us";
  }
  void put(Instant& value) {
    Duration count = value.since_start();
    put(count);
  }
  template <typename Tag>
  void put(Quantity<Tag>& value) {
    line_ += std::to_string(value.count());
  }
  template <typename Tag, typename Rep>
  void put(Identity<Tag, Rep>& value) {
    line_ += std::to_string(value.value());
  }

  std::string line_;
};

// One description of each struct serves writing, reading and printing. The order is the format's.

template <typename Io, typename Value>
void fields(Io& io, const char* name, PartTable<Value>& table) {
  for (const Part part : kAllParts) io.field(name, table[part]);
}
template <typename Io>
void fields(Io& io, UnitKey& unit) {
  io.field("request", unit.request);
  io.field("chunk", unit.chunk);
  io.field("group", unit.group);
}
template <typename Io>
void fields(Io& io, QualityCurve& curve) {
  fields(io, "quality", curve.points);
}
template <typename Io>
void fields(Io& io, PrefillCost& cost) {
  io.field("fixed", cost.fixed);
  io.field("picoseconds_per_token", cost.picoseconds_per_token);
  io.field("picoseconds_per_token_pair", cost.picoseconds_per_token_pair);
}
template <typename Io>
void fields(Io& io, PolicyOptions& options) {
  fields(io, "decode_rate", options.decode.rate);
  io.field("decode_per_part", options.decode.per_part);
  io.field("decode_workers", options.decode.workers);
  io.field("decode_per_request", options.decode.per_request);
  fields(io, options.quality);
  io.field("nominal_rate", options.nominal_rate);
  io.field("nominal_rtt", options.nominal_rtt);
  io.field("nominal_is_trusted", options.nominal_is_trusted);
  io.field("window_bdp", options.window_bdp);
  io.field("smallest_window", options.smallest_window);
  io.field("attempts_per_part", options.attempts_per_part);
  io.field("computes_front", options.computes_front);
  io.field("promise", options.promise);
  io.field("deadline_guard", options.deadline_guard);
}
template <typename Io>
void fields(Io& io, scheduler::RequestOpened& opened) {
  io.field("request", opened.request);
  io.field("deadline", opened.deadline);
  io.field("deadline_kind", opened.deadline_kind);
  io.field("mode", opened.mode);
  io.field("floor", opened.quality_floor);
  io.field("target", opened.quality_target);
  io.field("tokens", opened.tokens);
  io.field("recompute", opened.recompute);
  fields(io, "wanted", opened.wanted);
  io.optional("quality", opened.quality);
  io.optional("prefill", opened.prefill);
}
template <typename Io>
void fields(Io& io, Accepted& accepted) {
  io.field("request", accepted.request);
  io.field("chunks", accepted.chunks);
  io.field("groups", accepted.groups);
  io.field("raw", accepted.raw);
}
template <typename Io>
void fields(Io& io, Offered& offered) {
  fields(io, offered.unit);
  io.field("raw", offered.raw);
  fields(io, "size", offered.sizes);
}
template <typename Io>
void fields(Io& io, PartArrived& arrived) {
  fields(io, arrived.unit);
  io.field("part", arrived.part);
  io.field("bytes", arrived.bytes);
}
template <typename Io>
void fields(Io& io, PartFailed& failed) {
  fields(io, failed.unit);
  io.field("part", failed.part);
}
template <typename Io>
void fields(Io& io, Sealed& sealed) {
  io.field("request", sealed.request);
  io.field("units", sealed.units);
}
template <typename Io>
void fields(Io& io, scheduler::LinkSample& sample) {
  io.field("bytes", sample.bytes);
  io.field("duration", sample.duration);
}
template <typename Io>
void fields(Io& io, RttSample& sample) {
  io.field("rtt", sample.rtt);
}
template <typename Io>
void fields(Io& io, DecodeSample& sample) {
  io.field("part", sample.part);
  io.field("rows", sample.rows);
  io.field("spent", sample.spent);
  io.field("waiting", sample.waiting);
}
template <typename Io>
void fields(Io& io, ChunkComputed& computed) {
  io.field("request", computed.request);
  io.field("chunk", computed.chunk);
}
template <typename Io>
void fields(Io& io, RequestClosed& closed) {
  io.field("request", closed.request);
}
template <typename Io>
void fields(Io&, Tick&) {}

template <typename Io>
void fields(Io& io, Inputs& inputs) {
  io.field("slack", inputs.slack);
  io.field("rate", inputs.rate);
  io.field("bytes", inputs.bytes);
  io.field("in_flight", inputs.in_flight);
  io.field("predicted", inputs.predicted);
  io.field("recompute", inputs.recompute);
}
template <typename Io>
void fields(Io& io, Grant& grant) {
  fields(io, grant.unit);
  io.field("part", grant.part);
  io.field("bytes", grant.bytes);
  io.field("reason", grant.reason);
  fields(io, grant.inputs);
}
template <typename Io>
void fields(Io& io, Recompute& recompute) {
  io.field("request", recompute.request);
  io.field("reason", recompute.reason);
  fields(io, recompute.inputs);
  io.field("kept_chunks", recompute.kept_chunks);
}
template <typename Io>
void fields(Io& io, Complete& complete) {
  io.field("request", complete.request);
  io.field("quality", complete.quality);
  io.field("reason", complete.reason);
  fields(io, complete.inputs);
}
template <typename Io>
void fields(Io& io, ComputeChunk& compute) {
  io.field("request", compute.request);
  io.field("chunk", compute.chunk);
  io.field("reason", compute.reason);
  fields(io, compute.inputs);
}
template <typename Io>
void fields(Io& io, Promise& promise) {
  io.field("request", promise.request);
  io.field("is_made", promise.is_made);
  io.field("by", promise.by);
  fields(io, promise.inputs);
}

template <typename Io>
void fields(Io& io, LoggedNode& node) {
  io.text("program", node.program);
  fields(io, node.options);
}
template <typename Io>
void fields(Io& io, LoggedPolicy& policy) {
  io.field("number", policy.number);
  io.text("name", policy.name);
}
template <typename Io>
void fields(Io&, LogFull&) {}

template <typename Io>
void head(Io& io, LoggedStep& step) {
  io.field("policy", step.policy);
  io.field("now", step.now);
  io.choice(step.event);
}
void fields(Writer& out, LoggedStep& step) {
  head(out, step);
  out.field("wake_at", step.wake_at);
  auto count = static_cast<std::uint32_t>(step.actions.size());
  out.field("actions", count);
  for (Action& action : step.actions) out.choice(action);
}
void fields(Reader& in, LoggedStep& step) {
  head(in, step);
  in.set_bounded(false);
  in.field("wake_at", step.wake_at);
  std::uint32_t count = 0;
  in.field("actions", count);
  if (count > kMostActions) in.fail(ErrorCode::kBadField, "actions");
  for (std::uint32_t i = 0; i < count && in.is_good(); ++i) in.choice(step.actions.emplace_back());
}

template <typename Value>
void Writer::optional(const char* name, std::optional<Value>& value) {
  bool has_value = value.has_value();
  field(name, has_value);
  if (has_value) fields(*this, *value);
}
template <typename Value>
void Reader::optional(const char* name, std::optional<Value>& value) {
  bool has_value = false;
  field(name, has_value);
  if (has_value && is_good()) fields(*this, value.emplace());
}
template <typename Value>
void Printer::optional(const char*, std::optional<Value>& value) {
  if (value) fields(*this, *value);
}

/// A variant: the place of its alternative, which is pinned, and that one's fields.
template <typename Values>
void Writer::choice(Values& value) {
  auto place = static_cast<std::uint8_t>(value.index());
  field("", place);
  std::visit([&](auto& held) { fields(*this, held); }, value);
}
template <typename Values, std::size_t kPlace = 0>
bool emplace(Values& value, std::size_t place) {
  if constexpr (kPlace == std::variant_size_v<Values>) {
    return false;
  } else {
    if (place != kPlace) return emplace<Values, kPlace + 1>(value, place);
    value.template emplace<kPlace>();
    return true;
  }
}
template <typename Values>
void Reader::choice(Values& value) {
  std::uint8_t place = 0;
  field("kind", place);
  if (is_good() && !emplace(value, place)) fail(ErrorCode::kBadField, "kind");
  if (is_good()) std::visit([&](auto& held) { fields(*this, held); }, value);
}

constexpr std::array kEventNames = {"opened", "accepted", "offered", "arrived",  "failed", "sealed",
                                    "link",   "rtt",      "decoded", "computed", "closed", "tick"};
static_assert(kEventNames.size() == std::variant_size_v<scheduler::Event>);

}  // namespace

void encode_record(DecisionRecord record, std::vector<std::byte>& out) {
  Writer writer(out);
  writer.choice(record);  // one description for both directions takes what it could change
}

Result<DecisionRecord> decode_record(std::span<const std::byte> payload) {
  Reader reader(payload);
  DecisionRecord record;
  reader.choice(record);
  if (reader.is_good() && !reader.is_at_end()) reader.fail(ErrorCode::kTrailingBytes, "decision record");
  if (!reader.is_good()) return reader.error();
  return record;
}

std::string describe(const scheduler::Event& event) {
  Printer printer;
  printer.name(kEventNames[event.index()]);
  scheduler::Event copy = event;
  std::visit([&](auto& held) { fields(printer, held); }, copy);
  return printer.line();
}

}  // namespace sluice::integration
