// Independent chains of multiply-adds in registers, nothing loaded: a core's peak. One file per instruction set
// instantiates it.
#pragma once

#include <benchmark/benchmark.h>

#include <array>
#include <cstddef>
#include <utility>

namespace sluice::bench {

/// Vector: a register of kFloats values with set() and multiply_add().
template <typename Vector, std::size_t... kChain>
void run_chains(benchmark::State& state, std::index_sequence<kChain...>) {
  constexpr std::size_t kRounds = 4096;
  Vector factor = Vector::set(0.999F), term = Vector::set(1e-3F);
  benchmark::DoNotOptimize(factor);
  benchmark::DoNotOptimize(term);
  std::array<Vector, sizeof...(kChain)> sums{(static_cast<void>(kChain), term)...};
  for (auto _ : state) {
    for (std::size_t round = 0; round < kRounds; ++round) {
      ((sums[kChain] = Vector::multiply_add(sums[kChain], factor, term)), ...);
    }
  }
  (benchmark::DoNotOptimize(sums[kChain]), ...);
  state.counters["flops"] = benchmark::Counter(static_cast<double>(2 * Vector::kFloats * sizeof...(kChain) * kRounds),
                                               benchmark::Counter::kIsIterationInvariantRate);
}

}  // namespace sluice::bench
