#include "transport/shm/shared_ring.h"

#include <algorithm>
#include <cstring>

#include "base/assert.h"

namespace sluice::transport::shm {
namespace {

constexpr std::size_t kPage = 4096;

std::uint64_t load(std::uint64_t& field) { return std::atomic_ref(field).load(std::memory_order_acquire); }
void store(std::uint64_t& field, std::uint64_t value) {
  std::atomic_ref(field).store(value, std::memory_order_release);
}

// The fence orders "publish, then look whether the other sleeps" against its "say that I sleep, then look again":
// one of the two always sees the other.
bool wakes(std::uint32_t& sleeps) {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  std::atomic_ref flag(sleeps);
  return flag.load(std::memory_order_relaxed) != 0 && flag.exchange(0, std::memory_order_relaxed) != 0;
}

void say_asleep(std::uint32_t& sleeps) {
  std::atomic_ref(sleeps).store(1, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_seq_cst);
}

std::size_t at(const RingView& ring, std::uint64_t position) {
  return static_cast<std::size_t>(position & (ring.data.size() - 1));
}

}  // namespace

Bytes memory_for(Bytes ring) { return Bytes(kPage) + ring * 2; }

RingView ring_of(std::span<std::byte> memory, std::size_t index) {
  SLUICE_ASSERT(index < 2 && memory.size() > kPage);
  const std::size_t size = (memory.size() - kPage) / 2;
  SLUICE_ASSERT((size & (size - 1)) == 0);
  auto* counters = reinterpret_cast<RingCounters*>(memory.data()) + index;
  return RingView{counters, memory.subspan(kPage + index * size, size)};
}

Result<std::size_t> RingWriter::room() {
  const std::uint64_t read = load(ring_.counters->read);
  if (read < read_ || read > written_) return Error{ErrorCode::kProtocolViolation, 0, "read position of the peer"};
  read_ = read;
  return ring_.data.size() - static_cast<std::size_t>(written_ - read_);
}

void RingWriter::put(std::span<const std::byte> bytes) {
  SLUICE_ASSERT(bytes.size() <= ring_.data.size() - (written_ - read_));
  const std::size_t begin = at(ring_, written_);
  const std::size_t first = std::min(bytes.size(), ring_.data.size() - begin);
  if (first > 0) std::memcpy(ring_.data.data() + begin, bytes.data(), first);
  if (first < bytes.size()) std::memcpy(ring_.data.data(), bytes.data() + first, bytes.size() - first);
  written_ += bytes.size();
}

bool RingWriter::publish() {
  store(ring_.counters->written, written_);
  return wakes(ring_.counters->reader_sleeps);
}

bool RingWriter::sleep() {
  say_asleep(ring_.counters->writer_sleeps);
  return load(ring_.counters->read) == read_;
}

Result<std::size_t> RingReader::available() {
  const std::uint64_t written = load(ring_.counters->written);
  if (written < written_ || written - read_ > ring_.data.size()) {
    return Error{ErrorCode::kProtocolViolation, 0, "write position of the peer"};
  }
  written_ = written;
  return static_cast<std::size_t>(written_ - read_);
}

void RingReader::take(std::span<std::byte> out) {
  SLUICE_ASSERT(out.size() <= written_ - read_);
  const std::size_t begin = at(ring_, read_);
  const std::size_t first = std::min(out.size(), ring_.data.size() - begin);
  if (first > 0) std::memcpy(out.data(), ring_.data.data() + begin, first);
  if (first < out.size()) std::memcpy(out.data() + first, ring_.data.data(), out.size() - first);
  read_ += out.size();
}

void RingReader::skip(std::size_t size) {
  SLUICE_ASSERT(size <= written_ - read_);
  read_ += size;
}

bool RingReader::give_back() {
  store(ring_.counters->read, read_);
  // A reader goes on until it has taken all that it knows of, so the half is always reached before it sleeps.
  return written_ - read_ <= ring_.data.size() / 2 && wakes(ring_.counters->writer_sleeps);
}

bool RingReader::sleep() {
  say_asleep(ring_.counters->reader_sleeps);
  return load(ring_.counters->written) == written_;
}

}  // namespace sluice::transport::shm
