#include "base/assert.h"

#include <cstdio>
#include <cstdlib>

namespace sluice {

void assertion_failed(const char* law, const char* file, int line) {
  std::fprintf(stderr, "sluice: broken invariant: %s (%s:%d)\n", law, file, line);
  std::abort();
}

}  // namespace sluice
