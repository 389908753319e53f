// Golden files of the codec: read, or written anew with SLUICE_WRITE_GOLDEN set; and rows that are alike on any
// machine.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/unit/codec/paged_unit.h"

namespace sluice::codec {

using Bytestring = std::vector<std::byte>;

/// Integers only, so that every machine starts from the same rows; spreads grow from channel to channel.
inline void fill_with_integers(const PagedUnit& unit) {
  const kernels::KvShape& shape = unit.shape();
  const kernels::MutableUnitView view = unit.writable();
  std::uint32_t state = 12345;
  std::vector<float> rows(shape.tokens.count() * shape.row_values());
  for (std::size_t stream = 0; stream < 2 * shape.layers.count(); ++stream) {
    for (std::size_t i = 0; i < rows.size(); ++i) {
      std::int32_t sum = 0;
      for (int draw = 0; draw < 4; ++draw) {
        state = state * 1664525U + 1013904223U;
        sum += static_cast<std::int32_t>(state >> 24U) - 128;
      }
      rows[i] = static_cast<float>(sum * static_cast<std::int32_t>(1 + i % shape.row_values())) / 512.0F;
    }
    const auto& plane = (stream % 2 == 0 ? view.k : view.v)[stream / 2];
    kernels::ref_kernels().scatter(rows, shape, {0, shape.tokens.count()}, plane);
  }
}

/// The golden file of that name; `now` becomes it first where that was asked for.
inline Bytestring golden(const std::string& name, const Bytestring& now) {
  const std::string path = "tests/golden/" + name;
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nothing changes the environment
  if (std::getenv("SLUICE_WRITE_GOLDEN") != nullptr) {
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(now.data()), static_cast<std::streamsize>(now.size()));
  }
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.good()) << path;
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  const auto* const first = reinterpret_cast<const std::byte*>(text.data());
  return {first, first + text.size()};
}

}  // namespace sluice::codec
