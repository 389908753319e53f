#include "integration/decision_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "codec/byte_order.h"
#include "integration/mapped_file.h"

namespace sluice::integration {
namespace {

constexpr std::array<char, 8> kMagic = {'S', 'L', 'U', 'I', 'C', 'E', 'D', 'L'};
constexpr std::size_t kVersionAt = kMagic.size();
constexpr std::size_t kHeaderSize = kVersionAt + 4;
/// Length and digest before each payload.
constexpr std::size_t kDigestAt = 4;
constexpr std::size_t kFrameSize = 8;
constexpr std::size_t kLargestPayload = std::size_t{1} << 24;
constexpr std::size_t kBufferSize = std::size_t{1} << 16;

std::uint32_t digest_of(std::span<const std::byte> payload, std::uint64_t record) {
  return static_cast<std::uint32_t>((*kernels::ref_kernels().digest)(payload, record));
}

Error error_of(int number, const char* where) {
  return Error{number == ENOSPC || number == EDQUOT ? ErrorCode::kDiskFull : ErrorCode::kIo, number, where};
}

bool has_magic(std::span<const std::byte> bytes) {
  return bytes.size() >= kMagic.size() &&
         std::equal(kMagic.begin(), kMagic.end(), bytes.begin(),
                    [](char letter, std::byte byte) { return static_cast<std::byte>(letter) == byte; });
}

/// Nothing that is not ours is ever overwritten.
Result<void> check_replaceable(const std::filesystem::path& path) {
  const Result<MappedFile> old = MappedFile::open(path);
  if (!old && old.error().code == ErrorCode::kNotFound) return {};
  if (!old) return old.error();
  if (old->bytes().empty() || has_magic(old->bytes())) return {};
  return Error{ErrorCode::kAlreadyExists, 0, "decision log"};
}

}  // namespace

Result<std::unique_ptr<DecisionLog>> DecisionLog::create(const DecisionLogOptions& options,
                                                         const scheduler::PolicyOptions& policy) {
  SLUICE_TRY(check_replaceable(options.path));
  const int file = open(options.path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, S_IRUSR | S_IWUSR);
  if (file < 0) return error_of(errno, "decision log");
  std::unique_ptr<DecisionLog> log(new DecisionLog(file, options.most));
  log->buffer_.resize(kHeaderSize);
  std::transform(kMagic.begin(), kMagic.end(), log->buffer_.begin(), [](char c) { return static_cast<std::byte>(c); });
  codec::store(std::span(log->buffer_), kVersionAt, kDecisionLogVersion);
  log->written_ = Bytes(kHeaderSize);
  log->add(LoggedNode{options.program, policy});
  log->flush();
  if (log->error_.code != ErrorCode::kOk) return log->error_;
  return log;
}

DecisionLog::~DecisionLog() {
  flush();
  close(file_);
}

void DecisionLog::frame(DecisionRecord record) {
  record_.assign(kFrameSize, std::byte{0});
  encode_record(std::move(record), record_);
  const auto payload = std::span<const std::byte>(record_).subspan(kFrameSize);
  codec::store(std::span(record_), 0, static_cast<std::uint32_t>(payload.size()));
  codec::store(std::span(record_), kDigestAt, digest_of(payload, records_));
}

void DecisionLog::add(DecisionRecord record) {
  constexpr Bytes kRoomForEnd{kFrameSize + 1};
  if (is_full_ || error_.code != ErrorCode::kOk) return;
  frame(std::move(record));
  if (written_ + Bytes(record_.size()) + kRoomForEnd > most_ || record_.size() - kFrameSize > kLargestPayload) {
    is_full_ = true;
    frame(LogFull{});
  }
  ++records_;
  written_ += Bytes(record_.size());
  buffer_.insert(buffer_.end(), record_.begin(), record_.end());
  if (buffer_.size() >= kBufferSize) flush();
}

void DecisionLog::flush() {
  std::size_t done = 0;
  while (error_.code == ErrorCode::kOk && done < buffer_.size()) {
    const ssize_t now = write(file_, buffer_.data() + done, buffer_.size() - done);
    if (now >= 0) {
      done += static_cast<std::size_t>(now);
    } else if (errno != EINTR) {
      error_ = error_of(errno, "decision log");
    }
  }
  buffer_.clear();
}

std::string_view DecisionLog::state() const {
  if (error_.code != ErrorCode::kOk) return error_name(error_.code);
  return is_full_ ? "full" : "recording";
}

Result<DecisionLogReader> DecisionLogReader::open(std::span<const std::byte> bytes) {
  if (bytes.size() >= kMagic.size() && !has_magic(bytes)) return Error{ErrorCode::kBadMagic, 0, "decision log"};
  if (bytes.size() < kHeaderSize) return Error{ErrorCode::kTruncated, 0, "decision log"};
  if (codec::load<std::uint32_t>(bytes, kVersionAt) != kDecisionLogVersion) {
    return Error{ErrorCode::kBadVersion, 0, "decision log"};
  }
  DecisionLogReader reader(bytes);
  reader.offset_ = kHeaderSize;
  return reader;
}

Result<std::optional<DecisionRecord>> DecisionLogReader::next() {
  const auto rest = bytes_.subspan(offset_);
  if (rest.empty()) return std::optional<DecisionRecord>();
  if (rest.size() < kFrameSize) return Error{ErrorCode::kTruncated, 0, "decision log"};
  const std::size_t size = codec::load<std::uint32_t>(rest, 0);
  if (size > kLargestPayload) return Error{ErrorCode::kBadLength, 0, "decision log"};
  if (rest.size() - kFrameSize < size) return Error{ErrorCode::kTruncated, 0, "decision log"};
  const auto payload = rest.subspan(kFrameSize, size);
  if (codec::load<std::uint32_t>(rest, kDigestAt) != digest_of(payload, records_)) {
    return Error{ErrorCode::kDigestMismatch, 0, "decision log"};
  }
  SLUICE_ASSIGN(DecisionRecord record, decode_record(payload));
  ++records_;
  offset_ += kFrameSize + size;
  return std::optional(std::move(record));
}

}  // namespace sluice::integration
