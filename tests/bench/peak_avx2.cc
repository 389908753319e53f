// The core's multiply-add peak with registers of 8 values. A share of this is what a matrix product reaches; no product
// can do better.
#include <immintrin.h>

#include "kernels/table.h"
#include "tests/bench/multiply_add_chains.h"

namespace sluice::bench {
namespace {

struct Vector {
  static constexpr std::size_t kFloats = 8;
  __m256 value;

  static Vector set(float number) { return {_mm256_set1_ps(number)}; }
  static Vector multiply_add(Vector a, Vector b, Vector sum) { return {_mm256_fmadd_ps(a.value, b.value, sum.value)}; }
};

void multiply_add_peak(benchmark::State& state) { run_chains<Vector>(state, std::make_index_sequence<12>()); }

[[maybe_unused]] const bool kAdded = [] {
  if (kernels::find_kernels("avx2") != nullptr)
    benchmark::RegisterBenchmark("multiply_add_peak/avx2", multiply_add_peak);
  return true;
}();

}  // namespace
}  // namespace sluice::bench
