#include "base/result.h"

#include <gtest/gtest.h>

#include <memory>

namespace sluice {
namespace {

Result<int> half(int number) {
  if (number % 2 != 0) return Error{ErrorCode::kInvalidArgument, number, "half"};
  return number / 2;
}

Result<int> quarter(int number) {
  SLUICE_ASSIGN(const int first, half(number));
  SLUICE_ASSIGN(const int second, half(first));
  return second;
}

Result<void> check(int number) {
  SLUICE_TRY(half(number));
  return {};
}

TEST(Result, CarriesTheValueOrTheFirstError) {
  EXPECT_EQ(quarter(8).value(), 2);
  EXPECT_EQ(quarter(6).error().native, 3);
  EXPECT_EQ(quarter(7).error().native, 7);
  EXPECT_TRUE(check(2).has_value());
  EXPECT_EQ(check(3).error().code, ErrorCode::kInvalidArgument);
}

TEST(Result, HoldsWhatOnlyMoves) {
  Result<std::unique_ptr<int>> result(std::make_unique<int>(5));
  const std::unique_ptr<int> value = std::move(result).value();
  EXPECT_EQ(*value, 5);
}

TEST(ResultDeathTest, ValueOfAnErrorStopsTheProgram) {
  EXPECT_DEATH((void)half(1).value(), "broken invariant");
  EXPECT_DEATH((void)half(2).error(), "broken invariant");
}

}  // namespace
}  // namespace sluice
