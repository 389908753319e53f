// The core's multiply-add peak with registers of 16 values. A share of this is what a matrix product reaches; no
// product can do better.
#include <immintrin.h>

#include "kernels/table.h"
#include "tests/bench/multiply_add_chains.h"

namespace sluice::bench {
namespace {

struct Vector {
  static constexpr std::size_t kFloats = 16;
  __m512 value;

  static Vector set(float number) { return {_mm512_set1_ps(number)}; }
  static Vector multiply_add(Vector a, Vector b, Vector sum) { return {_mm512_fmadd_ps(a.value, b.value, sum.value)}; }
};

void multiply_add_peak(benchmark::State& state) { run_chains<Vector>(state, std::make_index_sequence<12>()); }

[[maybe_unused]] const bool kAdded = [] {
  if (kernels::find_kernels("avx512") != nullptr)
    benchmark::RegisterBenchmark("multiply_add_peak/avx512", multiply_add_peak);
  return true;
}();

}  // namespace
}  // namespace sluice::bench
