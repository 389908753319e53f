// The core's multiply-add peak: twelve independent chains in registers, nothing loaded. A share of this is what a
// matrix product reaches; no product can do better.
#include <benchmark/benchmark.h>
#include <immintrin.h>

#include <array>
#include <utility>

namespace sluice::bench {
namespace {

struct Chain {
  __m256 sum;
};

template <std::size_t... kChain>
void run_chains(benchmark::State& state, std::index_sequence<kChain...>) {
  constexpr std::size_t kRounds = 4096;
  __m256 factor = _mm256_set1_ps(0.999F), term = _mm256_set1_ps(1e-3F);
  benchmark::DoNotOptimize(factor);
  benchmark::DoNotOptimize(term);
  std::array<Chain, sizeof...(kChain)> sums{(static_cast<void>(kChain), Chain{term})...};
  for (auto _ : state) {
    for (std::size_t round = 0; round < kRounds; ++round) {
      ((sums[kChain].sum = _mm256_fmadd_ps(sums[kChain].sum, factor, term)), ...);
    }
  }
  (benchmark::DoNotOptimize(sums[kChain].sum), ...);
  state.counters["flops"] = benchmark::Counter(static_cast<double>(2 * 8 * sizeof...(kChain) * kRounds),
                                               benchmark::Counter::kIsIterationInvariantRate);
}

void multiply_add_peak(benchmark::State& state) { run_chains(state, std::make_index_sequence<12>()); }

BENCHMARK(multiply_add_peak);

}  // namespace
}  // namespace sluice::bench
