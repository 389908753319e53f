// A unit in paged memory with odd strides and canaries in every gap, for codec tests. Seeded: same seed, same bytes.
#pragma once

#include <cmath>
#include <cstring>
#include <random>
#include <span>
#include <vector>

#include "kernels/shape.h"
#include "kernels/table.h"

namespace sluice::codec {

inline constexpr std::byte kCanary{0xA5};

/// How rows lie: tokens per block, and bytes of gap after every head and every token.
struct Paging {
  std::uint64_t block_tokens = 16;
  std::size_t head_gap = 0;
  std::size_t token_gap = 0;
  /// Where the first block starts: odd, since alignment may not be assumed (a GPU's pages are aligned: 0).
  std::size_t offset = 1;
};

/// Owns the pages of a unit and gives both views of it.
class PagedUnit {
 public:
  PagedUnit(const kernels::KvShape& shape, const Paging& paging) : shape_(shape), paging_(paging) {
    const std::size_t head = shape.head_dim.count() * kernels::dtype_size(shape.dtype) + paging.head_gap;
    const std::size_t token = head * shape.kv_heads.count() + paging.token_gap;
    const std::uint64_t blocks = (shape.tokens.count() + paging.block_tokens - 1) / paging.block_tokens;
    const std::size_t planes = 2 * shape.layers.count();
    memory_.assign(planes * blocks * token * paging.block_tokens + paging.offset, kCanary);
    for (std::size_t plane = 0; plane < planes; ++plane) {
      for (std::uint64_t block = 0; block < blocks; ++block) {
        // Blocks in reverse order: no order may be assumed either.
        const std::size_t number = plane * blocks + (blocks - 1 - block);
        blocks_.push_back(memory_.data() + paging.offset + number * token * paging.block_tokens);
      }
    }
    const_blocks_.assign(blocks_.begin(), blocks_.end());
    for (std::size_t plane = 0; plane < planes; ++plane) {
      const auto first = static_cast<std::ptrdiff_t>(plane * blocks);
      const auto token_stride = static_cast<std::ptrdiff_t>(token);
      const auto head_stride = static_cast<std::ptrdiff_t>(head);
      (plane % 2 == 0 ? k_ : v_)
          .push_back({{blocks_.begin() + first, blocks}, paging.block_tokens, token_stride, head_stride});
      (plane % 2 == 0 ? const_k_ : const_v_)
          .push_back({{const_blocks_.begin() + first, blocks}, paging.block_tokens, token_stride, head_stride});
    }
  }
  PagedUnit(const PagedUnit&) = delete;
  PagedUnit& operator=(const PagedUnit&) = delete;

  kernels::MutableUnitView writable() const { return {shape_, k_, v_}; }
  kernels::UnitView view() const { return {shape_, const_k_, const_v_}; }
  const kernels::KvShape& shape() const { return shape_; }
  const std::vector<std::byte>& memory() const { return memory_; }

  /// K and V of all layers as fp32, stream by stream.
  std::vector<float> values() const {
    std::vector<float> all;
    std::vector<float> rows(shape_.tokens.count() * shape_.row_values());
    for (std::size_t stream = 0; stream < 2 * shape_.layers.count(); ++stream) {
      const auto& plane = (stream % 2 == 0 ? const_k_ : const_v_)[stream / 2];
      kernels::ref_kernels().gather(plane, shape_, {0, shape_.tokens.count()}, rows);
      all.insert(all.end(), rows.begin(), rows.end());
    }
    return all;
  }

  /// The rows' own bytes, stream by stream.
  std::vector<std::byte> bytes() const {
    std::vector<std::byte> all(shape_.raw_bytes().count());
    const std::size_t side = all.size() / (2 * shape_.layers.count());
    for (std::size_t stream = 0; stream < 2 * shape_.layers.count(); ++stream) {
      const auto& plane = (stream % 2 == 0 ? const_k_ : const_v_)[stream / 2];
      kernels::ref_kernels().copy_rows(plane, shape_, {0, shape_.tokens.count()},
                                       std::span(all).subspan(stream * side, side));
    }
    return all;
  }

  /// True while every byte that belongs to no row is as it was.
  bool canaries_intact() const {
    PagedUnit other(shape_, paging_);
    const std::vector<std::byte> rows = bytes();
    const std::size_t side = rows.size() / (2 * shape_.layers.count());
    for (std::size_t stream = 0; stream < 2 * shape_.layers.count(); ++stream) {
      const auto& plane = (stream % 2 == 0 ? other.k_ : other.v_)[stream / 2];
      kernels::ref_kernels().place_rows(std::span(rows).subspan(stream * side, side), shape_,
                                        {0, shape_.tokens.count()}, plane);
    }
    return other.memory_ == memory_;
  }

 private:
  kernels::KvShape shape_;
  Paging paging_;
  std::vector<std::byte> memory_;
  std::vector<std::byte*> blocks_;
  std::vector<const std::byte*> const_blocks_;
  std::vector<kernels::MutablePlaneView> k_, v_;
  std::vector<kernels::PlaneView> const_k_, const_v_;
};

/// Values like a cache: channels with their own mean and spread, a few of them far out.
inline void fill_like_cache(const PagedUnit& unit, std::uint32_t seed) {
  const kernels::KvShape& shape = unit.shape();
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  const kernels::MutableUnitView view = unit.writable();
  std::vector<float> rows(shape.tokens.count() * shape.row_values());
  for (std::size_t stream = 0; stream < 2 * shape.layers.count(); ++stream) {
    std::vector<float> mean(shape.row_values()), spread(shape.row_values());
    for (float& m : mean) m = normal(random) * (random() % 16 == 0 ? 8.0F : 0.5F);
    for (float& s : spread) s = std::exp(normal(random));
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const std::size_t channel = i % shape.row_values();
      rows[i] = mean[channel] + spread[channel] * normal(random);
    }
    const auto& plane = (stream % 2 == 0 ? view.k : view.v)[stream / 2];
    kernels::ref_kernels().scatter(rows, shape, {0, shape.tokens.count()}, plane);
  }
}

/// All channels alike: mean 0, sigma 2.
inline void fill_normal(const PagedUnit& unit, std::uint32_t seed) {
  const kernels::KvShape& shape = unit.shape();
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, 2);
  const kernels::MutableUnitView view = unit.writable();
  std::vector<float> rows(shape.tokens.count() * shape.row_values());
  for (std::size_t stream = 0; stream < 2 * shape.layers.count(); ++stream) {
    for (float& value : rows) value = normal(random);
    const auto& plane = (stream % 2 == 0 ? view.k : view.v)[stream / 2];
    kernels::ref_kernels().scatter(rows, shape, {0, shape.tokens.count()}, plane);
  }
}

/// Every bit pattern alike, NaN, infinities and denormals included.
inline void fill_with_noise(const PagedUnit& unit, std::uint32_t seed) {
  std::mt19937 random(seed);
  const kernels::KvShape& shape = unit.shape();
  std::vector<std::byte> rows(shape.tokens.count() * shape.row_bytes().count());
  const kernels::MutableUnitView view = unit.writable();
  for (std::size_t stream = 0; stream < 2 * shape.layers.count(); ++stream) {
    for (std::byte& byte : rows) byte = static_cast<std::byte>(random());
    const auto& plane = (stream % 2 == 0 ? view.k : view.v)[stream / 2];
    kernels::ref_kernels().place_rows(rows, shape, {0, shape.tokens.count()}, plane);
  }
}

}  // namespace sluice::codec
