// The kernel source of kernels/cuda under the emulator (emulated: no GPU ran it) against the decoder of the codec:
// the same pages, bit for bit, under every schedule of lanes; damage is seen by both.
#include "kernels/cuda/tile_decode.cuh"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "codec/decoder.h"
#include "codec/encoder.h"
#include "codec/frame.h"
#include "codec/nested_layout.h"
#include "codec/static_tables.h"
#include "kernels/cuda/emulator.h"
#include "kernels/float_formats.h"
#include "kernels/rope.h"
#include "tests/unit/codec/paged_unit.h"

namespace sluice::kernels::cuda {
namespace {

using codec::PagedUnit;

constexpr codec::Paging kPages{.block_tokens = 16, .token_gap = 32, .offset = 0};

/// What makes one unit.
struct Case {
  std::string name;
  KvShape shape;
  RopeSpec rope;
  /// 0: constant planes; 1: unit variance; large: outliers that escape.
  double outlier = 1;
};

std::vector<Case> cases() {
  const auto shape = [](std::uint32_t tokens, std::uint32_t heads, std::uint32_t dim, DType dtype) {
    return KvShape{Layers(2), Tokens(tokens), Heads(heads), HeadDim(dim), dtype};
  };
  const RopeSpec pairs{RopeStyle::kPairs, 16, 10000.0};
  const RopeSpec halves{RopeStyle::kHalves, 64, 500000.0};
  return {{"random", shape(100, 2, 16, DType::kF16), pairs, 1},
          {"halves", shape(256, 1, 64, DType::kBf16), halves, 1},
          {"partial", shape(70, 2, 64, DType::kF16), {RopeStyle::kPairs, 32, 10000.0}, 1},
          {"unrotated", shape(40, 3, 80, DType::kF16), {}, 1},
          {"constant", shape(64, 1, 16, DType::kF16), pairs, 0},
          {"escapes", shape(90, 2, 16, DType::kF16), pairs, 3000},
          {"all_fine", shape(20, 1, 16, DType::kF16), pairs, 1},
          {"one_token_left", shape(34, 1, 16, DType::kBf16), pairs, 1}};
}

void fill(const PagedUnit& unit, const Case& made, std::mt19937& random) {
  std::normal_distribution<float> normal(0, 1);
  const MutableUnitView view = unit.writable();
  std::vector<float> rows(made.shape.tokens.count() * made.shape.row_values());
  for (const auto planes : {view.k, view.v}) {
    for (const MutablePlaneView& plane : planes) {
      for (float& value : rows) {
        value = made.outlier == 0 ? 3.0F : normal(random);
        if (made.outlier > 1 && random() % 16 == 0) value *= static_cast<float>(made.outlier);
      }
      ref_kernels().scatter(rows, made.shape, {0, made.shape.tokens.count()}, plane);
    }
  }
}

/// A base frame on its way through both decoders.
struct Frame {
  std::vector<std::byte> bytes;
  codec::UnitContext context;
};

Frame encode(const Case& made, const PagedUnit& unit) {
  codec::Encoder encoder = codec::Encoder::open(ref_kernels(), {}).value();
  Frame frame;
  frame.context = {made.rope, TokenIndex(0), made.shape.tokens};
  std::vector<std::byte> room(codec::Encoder::max_nested_size(made.shape).count());
  const codec::EncodedUnit encoded = encoder.encode(unit.view(), frame.context, room).value();
  const auto base = std::span(room).subspan(encoded.parts()[0].offset.count(), encoded.parts()[0].size.count());
  frame.bytes.assign(base.begin(), base.end());
  return frame;
}

Result<void> decode_on_host(const Case& made, const Frame& frame, PagedUnit& out) {
  codec::Decoder decoder = codec::Decoder::open(ref_kernels()).value();
  const std::span<const std::byte> part(frame.bytes);
  return decoder.decode({&part, 1}, made.shape, frame.context, out.writable());
}

/// The jobs of one frame and what they point into.
class Jobs {
 public:
  Jobs(const Frame& frame, PagedUnit& out)
      : view_(codec::parse_frame(ref_kernels(), frame.bytes).value()),
        layout_(codec::nested_layout(view_.header)),
        tables_(codec::make_static_tables()),
        unit_(out.writable()) {
    fill_rope_angles(view_.header.rope, view_.header.raw_tokens.count(), layout_.runs.coded(), angles_);
    payload_.resize(view_.payload.size() / 2 + 1);  // aligned, as registered memory is
    std::memcpy(payload_.data(), view_.payload.data(), view_.payload.size());
    words_at_ = layout_.words_at;
    escapes_at_ = words_at_;
    for (std::size_t stream = 0; stream < layout_.streams; ++stream) escapes_at_ += 2 * directory(stream, 0);
  }

  std::size_t streams() const { return layout_.streams; }
  std::size_t indices() const { return tile_indices(dim(), static_cast<std::uint32_t>(layout_.runs.coded())); }

  /// The next stream; streams are laid one after the other.
  TileJob next(std::size_t stream, TileStatus& status) {
    const MutablePlaneView& plane = (stream % 2 == 0 ? unit_.k : unit_.v)[stream / 2];
    TileJob job;
    job.states = at<std::uint32_t>(layout_.states_at + 4 * stream * layout_.lanes);
    job.words = at<std::uint16_t>(words_at_);
    job.escapes = at<std::int16_t>(escapes_at_);
    job.classes = at<std::uint8_t>(layout_.classes_at + stream * layout_.width);
    job.steps = at<std::uint16_t>(layout_.steps_at + 2 * stream * layout_.heads);
    job.means = at<std::uint16_t>(layout_.means_at + 2 * stream * layout_.width);
    job.tables = tables_->base.data();
    job.largest = tables_->largest.data();
    job.cosine = angles_.cosine.data();
    job.sine = angles_.sine.data();
    job.blocks = plane.blocks.data();
    job.status = &status;
    job.block_tokens = plane.block_tokens;
    job.token_stride = plane.token_stride;
    job.head_stride = plane.head_stride;
    job.lanes = static_cast<std::uint32_t>(layout_.lanes);
    job.word_count = directory(stream, 0);
    job.escape_count = directory(stream, 4);
    job.heads = static_cast<std::uint32_t>(layout_.heads);
    job.head_dim = dim();
    job.first_token = static_cast<std::uint32_t>(view_.header.raw_tokens.count());
    job.ordinary = static_cast<std::uint32_t>(layout_.runs.ordinary);
    job.fine = static_cast<std::uint32_t>(layout_.runs.fine);
    job.pairs = stream % 2 == 0 ? static_cast<std::uint32_t>(angles_.pairs) : 0;
    job.style = view_.header.rope.style;
    words_at_ += 2 * job.word_count;
    escapes_at_ += 2 * job.escape_count;
    return job;
  }
  void place_raw_rows() {
    for (std::size_t stream = 0; stream < layout_.streams; ++stream) {
      const MutablePlaneView& plane = (stream % 2 == 0 ? unit_.k : unit_.v)[stream / 2];
      ref_kernels().place_rows(view_.payload.subspan(stream * layout_.raw_row_size, layout_.raw_row_size),
                               view_.header.shape, {0, view_.header.raw_tokens.count()}, plane);
    }
  }

 private:
  std::uint32_t dim() const { return static_cast<std::uint32_t>(layout_.width / layout_.heads); }
  std::uint32_t directory(std::size_t stream, std::size_t field) const {
    return *at<std::uint32_t>(layout_.directory_at + stream * layout_.entry_size + field);
  }
  template <typename Value>
  const Value* at(std::size_t offset) const {
    return reinterpret_cast<const Value*>(reinterpret_cast<const std::byte*>(payload_.data()) + offset);
  }

  codec::FrameView view_;
  codec::NestedLayout layout_;
  std::unique_ptr<const codec::StaticTables> tables_;
  MutableUnitView unit_;
  RopeAngles angles_;
  std::vector<std::uint16_t> payload_;
  std::size_t words_at_ = 0;
  std::size_t escapes_at_ = 0;
};

/// True when every stream was decoded; emulation problems fail the test.
bool decode_emulated(const Case& made, const Frame& frame, const Schedule& schedule, PagedUnit& out) {
  Jobs jobs(frame, out);
  jobs.place_raw_rows();
  bool decoded = true;
  for (std::size_t stream = 0; stream < jobs.streams(); ++stream) {
    TileStatus status = TileStatus::kUnfinished;
    const TileJob job = jobs.next(stream, status);
    std::vector<std::int16_t> shared(jobs.indices(), static_cast<std::int16_t>(0xA5A5));
    const std::string problem = run_warp(schedule, [&](EmulatedLane& lane) {
      made.shape.dtype == DType::kF16 ? decode_tile<Float16>(lane, job, shared.data())
                                      : decode_tile<BFloat16>(lane, job, shared.data());
    });
    EXPECT_EQ(problem, "") << made.name;
    decoded = decoded && status == TileStatus::kDecoded;
  }
  return decoded;
}

std::vector<Schedule> schedules(unsigned seed) {
  return {{Schedule::Order::kAscending, 0}, {Schedule::Order::kDescending, 0}, {Schedule::Order::kShuffled, seed}};
}

TEST(EmulatedTileDecode, GivesTheDecodersPagesUnderEverySchedule) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  for (const Case& made : cases()) {
    PagedUnit unit(made.shape, kPages);
    fill(unit, made, random);
    const Frame frame = encode(made, unit);
    PagedUnit expected(made.shape, kPages);
    ASSERT_TRUE(decode_on_host(made, frame, expected).has_value()) << made.name;
    for (const Schedule& schedule : schedules(seed)) {
      PagedUnit emulated(made.shape, kPages);
      EXPECT_TRUE(decode_emulated(made, frame, schedule, emulated)) << made.name;
      EXPECT_EQ(emulated.bytes(), expected.bytes()) << made.name;
      EXPECT_TRUE(emulated.canaries_intact()) << made.name;
    }
  }
}

TEST(EmulatedTileDecode, DamageIsSeenExactlyWhereTheDecoderSeesIt) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  for (const Case& made : cases()) {
    PagedUnit unit(made.shape, kPages);
    fill(unit, made, random);
    const Frame intact = encode(made, unit);
    const codec::FrameView view = codec::parse_frame(ref_kernels(), intact.bytes).value();
    const std::size_t words_at = codec::kFrameHeaderSize + codec::nested_layout(view.header).words_at;
    for (int round = 0; round < 8 && words_at < intact.bytes.size(); ++round) {
      Frame damaged = intact;
      damaged.bytes[words_at + random() % (intact.bytes.size() - words_at)] ^= std::byte{1} << (random() % 8);
      (void)codec::seal_frame(ref_kernels(), view.header, damaged.bytes);  // past the digest: the coder's own checks
      PagedUnit on_host(made.shape, kPages);
      PagedUnit emulated(made.shape, kPages);
      const bool accepted = decode_on_host(made, damaged, on_host).has_value();
      EXPECT_EQ(decode_emulated(made, damaged, schedules(seed)[2], emulated), accepted) << made.name;
      if (accepted) {
        EXPECT_EQ(emulated.bytes(), on_host.bytes()) << made.name;
      }
    }
  }
}

TEST(Emulator, ReportsLanesThatDiverge) {
  const std::string problem = run_warp({}, [](EmulatedLane& lane) {
    if (lane.index() == 7) {
      lane.sync();
    } else {
      (void)lane.ballot(true);
    }
  });
  EXPECT_NE(problem.find("lanes diverge"), std::string::npos) << problem;
}

TEST(Emulator, ReportsALaneThatLeavesEarly) {
  const std::string problem = run_warp({}, [](EmulatedLane& lane) {
    if (lane.index() != 3) lane.sync();
  });
  EXPECT_NE(problem.find("lane 3 ended while others wait"), std::string::npos) << problem;
}

TEST(Emulator, AMissingBarrierShowsAsAResultThatDependsOnTheSchedule) {
  const auto sum_of_left_neighbours = [](const Schedule& schedule) {
    std::array<std::uint32_t, kWarpLanes + 1> cells{};
    std::uint32_t sum = 0;
    EXPECT_EQ(run_warp(schedule,
                       [&](EmulatedLane& lane) {
                         cells[lane.index() + 1] = lane.index();
                         sum += cells[lane.index()];  // reads a neighbour's cell without sync()
                       }),
              "");
    return sum;
  };
  EXPECT_NE(sum_of_left_neighbours({Schedule::Order::kAscending, 0}),
            sum_of_left_neighbours({Schedule::Order::kDescending, 0}));
}

}  // namespace
}  // namespace sluice::kernels::cuda
