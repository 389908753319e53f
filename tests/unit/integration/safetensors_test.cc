#include "integration/safetensors.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "tests/unit/integration/planes_support.h"

namespace sluice::integration {
namespace {

std::vector<std::byte> file_of(const std::string& header, std::size_t data_size) {
  std::vector<std::byte> file(8 + header.size() + data_size);
  const std::uint64_t length = header.size();
  std::memcpy(file.data(), &length, 8);
  std::memcpy(file.data() + 8, header.data(), header.size());
  return file;
}

ErrorCode fault_of(const std::string& header, std::size_t data_size) {
  const std::vector<std::byte> file = file_of(header, data_size);
  const Result<SafetensorsView> view = parse_safetensors(file);
  return view ? ErrorCode::kOk : view.error().code;
}

constexpr const char* kPair =
    R"({"a":{"dtype":"F16","shape":[2,3],"data_offsets":[0,12]},"b":{"dtype":"F32","shape":[],"data_offsets":[12,16]}})";

TEST(Safetensors, ReadsTensorsInTheOrderOfTheirData) {
  const std::vector<std::byte> file = file_of(
      R"({"b":{"dtype":"F32","shape":[1],"data_offsets":[12,16]},"a":{"dtype":"F8_E4M3","shape":[2,6],"data_offsets":[0,12]},)"
      R"("__metadata__":{"by":"hand"}}   )",
      16);
  const SafetensorsView view = parse_safetensors(file).value();
  ASSERT_EQ(view.tensors.size(), 2U);
  EXPECT_EQ(view.tensors[0].name, "a");
  EXPECT_EQ(view.tensors[0].dtype, kernels::DType::kE4m3);
  EXPECT_EQ(view.tensors[0].extents, (std::vector<std::uint64_t>{2, 6}));
  EXPECT_EQ(view.tensors[1].data.data(), file.data() + file.size() - 4);
  EXPECT_EQ(view.metadata.at("by"), "hand");
  EXPECT_EQ(view.find("c"), nullptr);
}

TEST(Safetensors, EveryCutIsRefused) {
  const std::vector<std::byte> file = file_of(kPair, 16);
  ASSERT_TRUE(parse_safetensors(file).has_value());
  for (std::size_t size = 0; size < file.size(); ++size) {
    EXPECT_EQ(parse_safetensors(std::span(file).first(size)).error().code, ErrorCode::kTruncated) << size;
  }
}

TEST(Safetensors, DataThatNoTensorNamesIsRefused) {
  EXPECT_EQ(fault_of(kPair, 17), ErrorCode::kTrailingBytes);
  EXPECT_EQ(fault_of("{}", 1), ErrorCode::kTrailingBytes);
  EXPECT_EQ(fault_of("{}", 0), ErrorCode::kOk);
}

TEST(Safetensors, GapsAndOverlapsAreRefused) {
  EXPECT_EQ(fault_of(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", 8), ErrorCode::kBadLength);
  EXPECT_EQ(fault_of(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                     R"("b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
                     8),
            ErrorCode::kBadLength);
}

TEST(Safetensors, SizesThatDoNotAddUpOrWrapAreRefused) {
  EXPECT_EQ(fault_of(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4), ErrorCode::kBadLength);
  EXPECT_EQ(fault_of(R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", 0),
            ErrorCode::kBadLength);
  EXPECT_EQ(fault_of(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[8,4]}})", 8), ErrorCode::kBadField);
}

TEST(Safetensors, HeadersOfAnotherFormAreRefused) {
  for (const char* header : {"", "[]", "{", "{} {}", "null", R"({"a":1})", R"({"a":{}})",
                             R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})",
                             R"({"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}})",
                             R"({"a":{"dtype":7,"shape":[1],"data_offsets":[0,4]}})",
                             R"({"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,4]}})",
                             R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"more":0}})",
                             R"({"__metadata__":{"a":1}})", R"({"__metadata__":[]})"}) {
    EXPECT_EQ(fault_of(header, 4), ErrorCode::kBadField) << header;
  }
  EXPECT_EQ(fault_of(R"({"a":{"dtype":"I8","shape":[4],"data_offsets":[0,4]}})", 4), ErrorCode::kUnsupported);
}

TEST(Safetensors, ANameGivenTwiceIsRefused) {
  EXPECT_EQ(fault_of(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                     R"("a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
                     4),
            ErrorCode::kBadField);
}

TEST(Safetensors, DepthAndLengthOfTheHeaderAreBounded) {
  EXPECT_EQ(fault_of(std::string(100000, '['), 0), ErrorCode::kBadField);
  std::vector<std::byte> file(16);
  const std::uint64_t length = ~std::uint64_t{0};
  std::memcpy(file.data(), &length, 8);
  EXPECT_EQ(parse_safetensors(file).error().code, ErrorCode::kBadLength);
}

std::vector<std::byte> all_rows(const KvPlanes& planes, bool is_k) {
  std::vector<std::byte> rows;
  for (std::uint32_t layer = 0; layer < planes.shape().layers.count(); ++layer) {
    const auto plane = is_k ? planes.k_layer(LayerIndex(layer)) : planes.v_layer(LayerIndex(layer));
    rows.insert(rows.end(), plane.begin(), plane.end());
  }
  return rows;
}

TEST(KvTensors, EveryDTypeAndRotationComesBackAlike) {
  for (const auto dtype : {kernels::DType::kF32, kernels::DType::kF16, kernels::DType::kBf16, kernels::DType::kE4m3,
                           kernels::DType::kE5m2}) {
    for (const auto style : {kernels::RopeStyle::kNone, kernels::RopeStyle::kPairs, kernels::RopeStyle::kHalves}) {
      const kernels::KvShape shape{Layers(2), Tokens(5), Heads(3), HeadDim(4), dtype};
      const KvPlanes planes = random_planes(shape, 1);
      const std::vector<std::byte> k = all_rows(planes, true);
      const std::vector<std::byte> v = all_rows(planes, false);
      KvTensors tensors{shape, {}, TokenIndex(512), k, v};
      if (style != kernels::RopeStyle::kNone) tensors.rope = {style, 4, 100000.5, {}, 1000.5, 6};
      const std::vector<std::byte> file = write_kv_tensors(tensors);
      const KvTensors back = read_kv_tensors(file).value();
      EXPECT_EQ(back.shape, shape);
      EXPECT_EQ(back.rope, tensors.rope);
      EXPECT_EQ(back.first_position, TokenIndex(512));
      const KvPlanes again = planes_of(back).value();
      EXPECT_EQ(all_rows(again, true), k);
      EXPECT_EQ(all_rows(again, false), v);
    }
  }
}

TEST(KvTensors, WrongMetadataOrTensorsAreRefused) {
  const std::vector<std::byte> rows(2 * 2 * 1 * 4 * 2);
  const auto with = [&](const std::string& key, const std::string& value) {
    SafetensorsView content;
    content.tensors = {{"k", kernels::DType::kF16, {2, 2, 1, 4}, rows},
                       {"v", kernels::DType::kF16, {2, 2, 1, 4}, rows}};
    content.metadata = {{"rope.style", "pairs"}};
    content.metadata[key] = value;
    const std::vector<std::byte> file = write_safetensors(content);
    const Result<KvTensors> read = read_kv_tensors(file);
    return read ? ErrorCode::kOk : read.error().code;
  };
  EXPECT_EQ(with("rope.base", "500000"), ErrorCode::kOk);
  for (const char* base : {"", "x", "1e3x", "nan", "inf", "-5", "1"}) {
    EXPECT_EQ(with("rope.base", base), ErrorCode::kBadField) << base;
  }
  for (const char* dims : {"0", "3", "6", "-2", "2.0"})
    EXPECT_EQ(with("rope.dims", dims), ErrorCode::kBadField) << dims;
  EXPECT_EQ(with("rope.style", "spiral"), ErrorCode::kBadField);
  EXPECT_EQ(with("rope.local_period", "6"), ErrorCode::kBadField);
  EXPECT_EQ(with("rope.local_base", "10000"), ErrorCode::kBadField);
  EXPECT_EQ(with("position.first", "18446744073709551616"), ErrorCode::kBadField);
  EXPECT_EQ(read_kv_tensors(file_of("{}", 0)).error().code, ErrorCode::kNotFound);
}

TEST(KvTensors, UnlikeKAndVAreRefused) {
  const std::vector<std::byte> rows(32);
  const auto code = [&](std::vector<std::uint64_t> k, std::vector<std::uint64_t> v) {
    SafetensorsView content;
    content.tensors = {{"k", kernels::DType::kF16, std::move(k), rows},
                       {"v", kernels::DType::kF16, std::move(v), rows}};
    return read_kv_tensors(write_safetensors(content)).error().code;
  };
  EXPECT_EQ(code({2, 2, 1, 4}, {2, 1, 2, 4}), ErrorCode::kIncompatibleLayout);
  EXPECT_EQ(code({4, 4}, {4, 4}), ErrorCode::kIncompatibleLayout);
}

}  // namespace
}  // namespace sluice::integration
