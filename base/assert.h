// SLUICE_ASSERT stops the program on what only we can do wrong. It stays on in release builds: a wrong KV block is a
// wrong answer, so a broken invariant must never go on. What the world can do wrong is an Error, never an assert.
#pragma once

namespace sluice {

/// Writes the failed law to standard error and aborts. Threads: any.
[[noreturn]] void assertion_failed(const char* law, const char* file, int line);

}  // namespace sluice

#define SLUICE_ASSERT(law) \
  (static_cast<bool>(law) ? static_cast<void>(0) : ::sluice::assertion_failed(#law, __FILE__, __LINE__))
