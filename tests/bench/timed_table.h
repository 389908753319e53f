// A kernel table that times its own calls: where the time of an encode or decode goes, kernel by kernel. What no kernel
// accounts for is the codec's own. Reading the clock costs some 20 ns a call, so shares are a guide, not a figure.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <string_view>
#include <utility>

#include "kernels/table.h"

namespace sluice::bench {

using Ticks = std::chrono::steady_clock::duration;

/// The function pointer kMember of a table, timed. Static, since a function pointer carries no state.
template <auto kMember>
struct Timed {
  static inline std::remove_reference_t<decltype(std::declval<kernels::KernelTable>().*kMember)> original = nullptr;
  static inline Ticks spent{};

  template <typename... Arguments>
  static auto call(Arguments... arguments) {
    const auto start = std::chrono::steady_clock::now();
    struct Stop {
      std::chrono::steady_clock::time_point from;
      ~Stop() { spent += std::chrono::steady_clock::now() - from; }
    } const stop{start};
    return original(std::forward<Arguments>(arguments)...);
  }

  template <typename Value, typename... Arguments>
  static void install(Value (*&pointer)(Arguments...)) {
    original = pointer;
    spent = {};
    pointer = &call<Arguments...>;
  }
};

/// Calls visit(name, Timed<member>, reference to the member) for every kernel of `table`.
template <typename Visit>
void for_each_kernel(kernels::KernelTable& table, Visit visit) {
  using Table = kernels::KernelTable;
  const auto each = [&]<auto kMember>(std::string_view name, Timed<kMember> timed) {
    visit(name, timed, table.*kMember);
  };
  each("digest", Timed<&Table::digest>());
  each("copy_rows", Timed<&Table::copy_rows>());
  each("place_rows", Timed<&Table::place_rows>());
  each("gather", Timed<&Table::gather>());
  each("scatter", Timed<&Table::scatter>());
  each("to_columns", Timed<&Table::to_columns>());
  each("to_rows", Timed<&Table::to_rows>());
  each("reorder", Timed<&Table::reorder>());
  each("rotate", Timed<&Table::rotate>());
  each("transform", Timed<&Table::transform>());
  each("reconstruct", Timed<&Table::reconstruct>());
  each("synthesize", Timed<&Table::synthesize>());
  each("moments", Timed<&Table::moments>());
  each("quantize", Timed<&Table::quantize>());
  each("quantize_priced", Timed<&Table::quantize_priced>());
  each("add_feature", Timed<&Table::add_feature>());
  each("dequantize", Timed<&Table::dequantize>());
  each("fold", Timed<&Table::fold>());
  each("unfold", Timed<&Table::unfold>());
  each("fold_refinement", Timed<&Table::fold_refinement>());
  each("context", Timed<&Table::context>());
  each("refine", Timed<&Table::refine>());
  each("load", Timed<&Table::load>());
  each("restore", Timed<&Table::restore>());
  each("rans_encode", Timed<&Table::rans_encode>());
  each("rans_decode", Timed<&Table::rans_decode>());
  each("rans_encode_streams", Timed<&Table::rans_encode_streams>());
  each("rans_decode_streams", Timed<&Table::rans_decode_streams>());
}

/// The best table of this machine, timed from zero.
inline kernels::KernelTable timed_kernels() {
  kernels::KernelTable table = kernels::available_kernels().front();
  for_each_kernel(table, [](std::string_view, auto timed, auto& pointer) { timed.install(pointer); });
  return table;
}

}  // namespace sluice::bench
