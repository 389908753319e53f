// The decision log of a node as a file (DECISION_LOG.md): written while the node runs, read by `sluice trace replay`
// and `sluice explain`. Invariants: bounded; a record is whole in the file or not at all, as far as the machine lets
// us; each record's digest is seeded with its number, so that a lost, doubled or swapped one is found; a write that
// fails ends the log, never the node.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "integration/decision_record.h"
#include "kernels/table.h"

namespace sluice::integration {

/// Of the file's layout and of every record in it.
inline constexpr std::uint32_t kDecisionLogVersion = 1;

/// Where a node writes its decisions.
struct DecisionLogOptions {
  /// Empty: nowhere.
  std::filesystem::path path;
  /// The file never grows beyond it.
  Bytes most{64ULL << 20U};
  /// Name and version of the program that writes.
  std::string program = "sluice";
};

/// Threads: one at a time.
class DecisionLog {
 public:
  /// Begins a new file; an older log at the path is replaced, anything else is not.
  /// Errors:  kAlreadyExists for a file that is no decision log; kIo, kDiskFull (with errno).
  static Result<std::unique_ptr<DecisionLog>> create(const DecisionLogOptions& options,
                                                     const scheduler::PolicyOptions& policy);
  ~DecisionLog();
  DecisionLog(const DecisionLog&) = delete;
  DecisionLog& operator=(const DecisionLog&) = delete;

  /// Buffered; nothing happens once the log is full or has failed.
  void add(DecisionRecord record);
  /// Hands what is buffered to the system.
  void flush();
  /// "recording", "full", or the name of the error that ended it.
  std::string_view state() const;

 private:
  DecisionLog(int file, Bytes most) : file_(file), most_(most) {}
  void frame(DecisionRecord record);

  int file_;
  Bytes most_;
  Bytes written_;
  std::uint64_t records_ = 0;
  std::vector<std::byte> record_;
  std::vector<std::byte> buffer_;
  bool is_full_ = false;
  Error error_;
};

/// The records of a log, in order.
/// Threads: one at a time; `bytes` must outlive it.
class DecisionLogReader {
 public:
  /// Errors:  kTruncated, kBadMagic, kBadVersion.
  static Result<DecisionLogReader> open(std::span<const std::byte> bytes);

  /// The next record; none at the end of the log.
  /// Errors:  kTruncated when the file ends within a record, kBadLength, kDigestMismatch, those of decode_record().
  /// After an error the log cannot be read on.
  Result<std::optional<DecisionRecord>> next();
  /// Where the next record begins in the file.
  std::size_t offset() const { return offset_; }

 private:
  explicit DecisionLogReader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  std::span<const std::byte> bytes_;
  std::size_t offset_ = 0;
  std::uint64_t records_ = 0;
};

}  // namespace sluice::integration
