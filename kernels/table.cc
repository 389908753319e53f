// Which tables this machine can run: asked of the CPU once.
#include "kernels/table.h"

#include <array>

namespace sluice::kernels {
namespace {

struct Runnable {
  std::array<KernelTable, 3> tables;
  std::size_t count = 0;
};

Runnable find_runnable() {
  Runnable runnable;
  if (const std::optional<KernelTable> table = avx512_kernels()) runnable.tables[runnable.count++] = *table;
  if (const std::optional<KernelTable> table = avx2_kernels()) runnable.tables[runnable.count++] = *table;
  runnable.tables[runnable.count++] = ref_kernels();
  return runnable;
}

}  // namespace

std::span<const KernelTable> available_kernels() {
  static const Runnable runnable = find_runnable();
  return std::span(runnable.tables).first(runnable.count);
}

const KernelTable* find_kernels(std::string_view name) {
  if (name.empty()) return &available_kernels().front();
  for (const KernelTable& table : available_kernels()) {
    if (table.name == name) return &table;
  }
  return nullptr;
}

}  // namespace sluice::kernels
