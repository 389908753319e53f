// One direction of a shared memory: a ring of bytes with one writer and one reader in two processes. Each side keeps
// its own position privately and only publishes it; what the other side publishes is read once and believed only if it
// is possible. The reader copies out: bytes that it has taken cannot be changed any more. Layout: PROTOCOL.md
// section 8.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/quantity.h"
#include "base/result.h"

namespace sluice::transport::shm {

/// What the two sides tell each other; each field has a cache line of its own, and zero is where all begin.
struct RingCounters {
  alignas(64) std::uint64_t written = 0;        ///< bytes ever published by the writer
  alignas(64) std::uint64_t read = 0;           ///< bytes ever given back by the reader
  alignas(64) std::uint32_t reader_sleeps = 0;  ///< 1: the writer is to knock when it publishes
  alignas(64) std::uint32_t writer_sleeps = 0;  ///< 1: the reader is to knock when it gives back
};
static_assert(sizeof(RingCounters) == 256);

/// A ring as both sides see it: views, `data` a power of two.
struct RingView {
  RingCounters* counters = nullptr;
  std::span<std::byte> data;
};

/// Bytes of a memory that holds two rings of `ring` each.  Threads: pure.
Bytes memory_for(Bytes ring);
/// Ring 0 or 1 of such a memory; page-aligned, of memory_for(ring) bytes.  Threads: pure.
RingView ring_of(std::span<std::byte> memory, std::size_t index);

/// Threads: one.
class RingWriter {
 public:
  explicit RingWriter(RingView ring) : ring_(ring) {}
  /// Bytes that fit now. Errors: kProtocolViolation (the peer gave back what was never there).
  Result<std::size_t> room();
  /// Copies; not yet visible. At most room().
  void put(std::span<const std::byte> bytes);
  /// All that was put can be read. True: the reader sleeps and must be knocked at, once.
  bool publish();
  /// Asks for a knock when room comes. False: it has come meanwhile, do not sleep.
  bool sleep();

 private:
  RingView ring_;
  std::uint64_t written_ = 0;
  std::uint64_t read_ = 0;  // the last that was believed
};

/// Threads: one.
class RingReader {
 public:
  explicit RingReader(RingView ring) : ring_(ring) {}
  /// Bytes that can be taken now. Errors: kProtocolViolation (the peer published more than fits, or took back).
  Result<std::size_t> available();
  /// Copies out exactly out.size() bytes, at most available().
  void take(std::span<std::byte> out);
  /// Drops bytes, at most available().
  void skip(std::size_t size);
  /// What was taken is room again. True: the writer sleeps, half of the ring is free, and it must be knocked at, once.
  bool give_back();
  /// Asks for a knock when bytes come. False: they have come meanwhile, do not sleep.
  bool sleep();

 private:
  RingView ring_;
  std::uint64_t written_ = 0;  // the last that was believed
  std::uint64_t read_ = 0;
};

}  // namespace sluice::transport::shm
